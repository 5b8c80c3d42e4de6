"""The controller takes news in: accepts, results, rejects and cancels become states, in batches,
each under its lease.

A refused speaker is told so at once and kills that job's processes: only one claim may ever speak
for a job."""

import asyncio
import contextlib
import functools
import uuid
from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from loguru import logger

from hodei.domain.errors import Conflict, Locked, NotFound, Unavailable
from hodei.domain.job import FINAL, JobState, Outcome, Reason
from hodei.domain.job_line import JobLine
from hodei.domain.text import words_of
from hodei.fleet.presence import Cancel, Presence, Refused, ResultAck, WorkerStream
from hodei.flow import job_lines
from hodei.flow.batcher import Batcher
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.give_back import give_back
from hodei.flow.set_aside import set_aside
from hodei.store import cancels, halves, jobs, late_results, leases, sqlstate
from hodei.store.accepts import Accepted
from hodei.store.database import TROUBLE, Database
from hodei.store.leases import Claimant
from hodei.store.results import Ended, Result, record_results, settle
from hodei.store.stray_leases import Overrun

NOT_YOURS = "this lease no longer holds: the job was given away, cancelled or has ended"


MOST_PARKED = 10_000
"""Accepts and results whose job's row is locked. When there are more, their streams end, and their
workers say them again."""

PARKED_S = 0.25
"""Between two looks whether they are still locked."""


class _News(NamedTuple):
    """An accept (result None) or a result."""

    said: Claimant
    result: Result | None


_Answer = uuid.UUID | Ended | None
"""The job of an accept that holds, the end that a result made; None: the lease does not hold."""


class JobController:
    def __init__(self, database: Database, presence: Presence, dispatcher: JobDispatcher) -> None:
        self._database = database
        self._presence = presence
        self._dispatcher = dispatcher
        self._news: Batcher[_News, _Answer] = Batcher(self._flush, most=500, patient=True, rest=1.0)
        self._parked: list[tuple[WorkerStream, _News]] = []
        self._log = logger.bind(component="JobController")

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._news.run())
            group.create_task(self._retry_parked())
            await self._end_forgotten()

    async def heard(
        self, stream: WorkerStream, accepts: Sequence[int], results: Sequence[Result]
    ) -> None:
        """Stores one frame's accepts and results, then acknowledges the results. The worker has
        acted already; it forgets a lease only on that acknowledgement. What is locked is stored
        later. Locked: too much is."""
        for lease in accepts:
            stream.waiting.pop(lease, None)
        for result in results:
            stream.let_go(result.lease)
            if result.ran:
                stream.prefetch.ran(result.run_us / 1e6)
        if results:
            self._dispatcher.wake()
        news = [_News(Claimant(lease, stream.worker_id), None) for lease in accepts]
        news += [_News(Claimant(result.lease, stream.worker_id), result) for result in results]
        await self._settled(stream, news, await self._news.submit_all(news))

    async def _settled(
        self, stream: WorkerStream, news: Sequence[_News], answers: Sequence[_Answer | Exception]
    ) -> None:
        both = list(zip(news, answers, strict=True))
        if recorded := [
            n.said.lease
            for n, answer in both
            if n.result and answer and not isinstance(answer, Exception)
        ]:
            stream.send(ResultAck(recorded))
        self._refuse_stale(stream, [n.said.lease for n, answer in both if answer is None])
        for n, answer in both:
            if isinstance(answer, Locked):
                self._park(stream, n, answer)
            elif isinstance(answer, Exception):
                await self.set_aside(n.said, answer)

    def _park(self, stream: WorkerStream, news: _News, error: Locked) -> None:
        """Somebody else's transaction holds that job's row: it is tried again, and nobody waits for
        it."""
        if len(self._parked) >= MOST_PARKED:
            raise error
        self._parked.append((stream, news))

    async def _retry_parked(self) -> None:
        """What is not locked any more is stored. What a stream that has ended had said its worker
        says again."""
        while True:
            await asyncio.sleep(PARKED_S)
            parked, self._parked = [(s, n) for s, n in self._parked if not s.closed.is_set()], []
            if not parked:
                continue
            try:
                numbers = [n.said.lease for _, n in parked]
                locked = await self._database.run(functools.partial(leases.locked, leases=numbers))
                self._parked += [(s, n) for s, n in parked if n.said.lease in locked]
                for stream, news in parked:
                    if news.said.lease not in locked:
                        await self._settled(stream, [news], await self._news.submit_all([news]))
            except TROUBLE as error:
                self._log.warning(
                    "what waits for locks waits for the database: {}", sqlstate.primary(error)
                )
                self._parked += [(s, n) for s, n in parked if (s, n) not in self._parked]

    async def set_aside(self, said: Claimant, error: Exception) -> None:
        """Ends a job whose row PostgreSQL will not let go on (FAILED, REJECTED): it costs that job,
        not its worker's stream."""
        jobs_of = await self._database.run(lambda conn: leases.jobs_of(conn, [said]))
        await set_aside(self._database, jobs_of, error, "system:job_controller")
        if stream := self._presence.get(said.worker_id):
            self._refuse_stale(stream, [said.lease])

    async def rejected(self, stream: WorkerStream, refusals: dict[int, str]) -> None:
        for lease in refusals:
            stream.let_go(lease)
        said = [Claimant(lease, stream.worker_id) for lease in refusals]
        why = "; ".join(sorted(set(refusals.values())))[:200]
        await give_back(self._database, said, why, f"worker:{stream.worker_id}")

    async def ended_late(self, stream: WorkerStream, late: late_results.Late) -> None:
        """The word of a worker whose lease no longer holds: for the record only (rule 1)."""
        said = late.result
        for _ in range(20):
            try:
                recorded = await self._database.run(
                    lambda conn: late_results.record_late(conn, late)
                )
            except psycopg.Error as error:
                self._log.bind(job_id=late.job_id).error(
                    "its late result cannot be kept: {}", sqlstate.primary(error)
                )
                break
            if recorded.now:
                words = f"JobLateResult {said.outcome} (lease {said.lease})"
                about = (recorded.correlation_id, said.actor, late.job_id, said.worker_id)
                job_lines.say(self._log, [JobLine(words, *about)])
            if recorded.stored:
                break
            await asyncio.sleep(0.05)
        else:
            raise Unavailable(f"late result of job {late.job_id}: its story did not come to rest")
        stream.send(ResultAck([said.lease]))

    async def started(self, stream: WorkerStream, started: list[int]) -> None:
        await self._database.run(lambda conn: leases.started(conn, stream.worker_id, started))

    async def cancel_delivered(
        self, stream: WorkerStream, told: list[int], *, stopping: bool
    ) -> None:
        with contextlib.suppress(Locked):  # it is asked, and says it, again
            await self._database.run(
                lambda conn: leases.cancel_delivered(
                    conn, stream.worker_id, told, stopping=stopping
                )
            )

    def _refuse_stale(self, stream: WorkerStream, stale: Sequence[int]) -> None:
        """Tells a worker which leases do not hold; one log line for all of a frame."""
        for lease in stale:
            stream.let_go(lease)
            stream.send(Refused(lease, NOT_YOURS))
        if stale:
            self._log.bind(worker_id=stream.worker_id).info(
                "{} refused, the first is lease {}: {}", len(stale), stale[0], NOT_YOURS
            )

    async def _flush(self, news: list[_News]) -> list[_Answer | Exception]:
        """Results before accepts. If both are in the batch, the result writes RUNNING as well, and
        the accept is answered from it. Those whose rows are locked get Locked, and the others are
        stored."""
        try:
            return await self._settle(news)
        except Locked as error:
            locked = await self._database.run(
                lambda conn: leases.locked(conn, [n.said.lease for n in news])
            )
            if not locked:
                raise
            free = iter(await self._settle([n for n in news if n.said.lease not in locked]))
            return [error if n.said.lease in locked else next(free) for n in news]

    async def _settle(self, news: list[_News]) -> list[_Answer | Exception]:
        if not news:
            return []
        results = {n.said: n.result for n in news if n.result}
        accepts = list(
            dict.fromkeys(n.said for n in news if n.result is None and n.said not in results)
        )
        found, held = await self._database.run(
            lambda conn: settle(conn, list(results.values()), accepts)
        )
        ended = {Claimant(end.lease, end.worker_id): end for end in found}
        self._say(found)
        accepted = [job_lines.of_accept(one) for one in held.values() if one.now]
        if accepted:
            job_lines.say(self._log, accepted)
        return [self._answer(n, ended, held) for n in news]

    @staticmethod
    def _answer(
        news: _News, ended: dict[Claimant, Ended], held: dict[Claimant, Accepted]
    ) -> _Answer:
        end = ended.get(news.said)
        if end is None:
            accepted = held.get(news.said)
            return accepted.job_id if accepted else None
        return end if news.result else end.job_id  # accepted and ended in one flush

    def _say(self, ended: list[Ended]) -> None:
        if ended:
            job_lines.say(self._log, (line for end in ended for line in job_lines.of_end(end)))

    async def end_overrun(self, overrun: Sequence[Overrun]) -> None:
        """Ends attempts that their workers should have ended: FAILED, TIMEOUT. The worker hears of
        it by refusal, and kills them."""
        tail = ", and its worker did not end it"
        said = [
            Result(
                c.lease,
                c.worker_id,
                Outcome.FAILED,
                "system:job_rescuer",
                ran=True,
                reason=Reason.TIMEOUT,
                message=words + tail,
                log_chunks=-1,
            )
            for c, words in overrun
        ]
        for end in await self._record(said):
            if stream := self._presence.get(end.worker_id):
                self._refuse_stale(stream, [end.lease])

    # ── attempts that no worker speaks for any more ──

    async def lose(self, lost: list[Claimant], message: str, actor: str) -> None:
        """Ends attempts whose worker is gone or does not know them: run again or failed, by
        policy."""
        said = [
            Result(
                c.lease, c.worker_id, Outcome.LOST, actor, ran=True, message=message, log_chunks=-1
            )
            for c in lost
        ]
        await self._record(said)

    async def _record(self, said: Sequence[Result]) -> list[Ended]:
        """Stores what a sweep says in a worker's place. A job that cannot be stored is set aside;
        one that is locked is found again."""

        async def store(batch: list[Result]) -> list[Ended | None]:
            found = await self._database.run(lambda conn: record_results(conn, batch))
            ended = {end.lease: end for end in found}
            return [ended.get(result.lease) for result in batch]

        stored: list[Ended] = []
        for result, answer in zip(said, await halves.each(said, store), strict=True):
            if isinstance(answer, Ended):
                stored.append(answer)
            elif isinstance(answer, Exception) and not isinstance(answer, Locked):
                await self.set_aside(Claimant(result.lease, result.worker_id), answer)
        self._say(stored)
        return stored

    async def _end_forgotten(self) -> None:
        while True:
            claimant = await self._presence.forgotten.get()
            try:
                await self.lose(
                    [claimant],
                    "the worker lives but does not know this job any more",
                    "system:job_controller",
                )
            except TROUBLE as error:  # the next heartbeat names it again
                self._log.warning("lease {} cannot be ended: {}", claimant.lease, words_of(error))

    # ── cancel ──

    async def cancel(self, job_id: uuid.UUID, actor: str) -> None:
        """NotFound; Conflict: already final. Queued: CANCELLED at once. In flight: requested, and
        the worker will confirm. Locked: somebody's transaction has held the job's row for two
        seconds."""
        for runs_left in reversed(
            range(20)
        ):  # a job on its way between queue and worker is in neither for a moment
            try:
                if await self._cancel_once(job_id, actor):
                    return
            except Locked:
                if not runs_left:
                    raise
            except (
                psycopg.Error
            ) as error:  # its row cannot be written as a cancel would: it ends all the same
                await set_aside(self._database, [job_id], error, actor)
                return
            await asyncio.sleep(0.02)
        raise Conflict(
            f"job {job_id} changed hands twenty times while it was to be cancelled; try again"
        )

    async def _cancel_once(self, job_id: uuid.UUID, actor: str) -> bool:
        words = job_lines.changed(JobState.PENDING, JobState.CANCELLED, Reason.CANCELLED)
        waited = await self._database.run(lambda conn: cancels.cancel_queued(conn, job_id, actor))
        if waited is not None:
            job_lines.say(self._log, [JobLine(words, waited, actor, job_id)])
            return True
        asked = await self._database.run(lambda conn: cancels.request_cancel(conn, job_id, actor))
        if asked:
            about = (asked.correlation_id, actor, job_id, asked.worker_id)
            job_lines.say(self._log, [JobLine("JobCancelRequested", *about)])
            return True
        job = await self._database.run(lambda conn: jobs.get(conn, job_id))
        if job is None:
            raise NotFound(f"no job {job_id}")
        if job.state in FINAL:
            raise Conflict(f"job {job_id} is already {job.state}: a final state never changes")
        if job.cancel_requested:
            return True
        stray = await self._database.run(lambda conn: cancels.cancel_stray(conn, job_id, actor))
        if stray is not None:
            words = f"{words}: it was in no queue"
            job_lines.say(self._log, [JobLine(words, stray, actor, job_id)])
            return True
        return False

    async def deliver_cancels(self, workers: list[uuid.UUID]) -> None:
        """Tells workers of this server which of their jobs are to stop; asked again until the
        worker says that it is stopping."""
        mine = [worker for worker in workers if self._presence.get(worker)]
        if not mine:
            return
        for claimant in await self._database.run(
            lambda conn: leases.undelivered_cancels(conn, mine)
        ):
            if stream := self._presence.get(claimant.worker_id):
                stream.send(Cancel(claimant.lease, Reason.CANCELLED, "cancelled"))
