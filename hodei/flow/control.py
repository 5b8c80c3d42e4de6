"""The controller takes news in: accepts, results, rejects and cancels become states, in batches, each under its lease.

A refused speaker is told so at once and kills that job's processes: only one claim may ever speak for a job.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from loguru import logger

from hodei.domain.errors import Conflict, Locked, NotFound, Unavailable
from hodei.domain.job import FINAL, MAX_LOSSES
from hodei.fleet.presence import Cancel, Presence, Refused, ResultAck, WorkerStream
from hodei.flow.batcher import Batcher
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.give_back import give_back
from hodei.flow.set_aside import set_aside
from hodei.store import halves, jobs, leases, sqlstate, stray_leases
from hodei.store.database import TROUBLE, Database
from hodei.store.leases import Claimant, Ended, Result

NOT_YOURS = "this lease no longer holds: the job was given away, cancelled or has ended"


class _News(NamedTuple):
    """An accept (result None) or a result."""

    said: Claimant
    result: Result | None


class JobController:
    def __init__(self, database: Database, presence: Presence, dispatcher: JobDispatcher) -> None:
        self._database = database
        self._presence = presence
        self._dispatcher = dispatcher
        self._news: Batcher[_News, uuid.UUID | Ended | None] = Batcher(self._flush, most=500, patient=True, rest=1.0)
        self._log = logger.bind(component="JobController")

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._news.run())
            await self._end_forgotten()

    async def heard(self, stream: WorkerStream, accepts: Sequence[int], results: Sequence[Result]) -> None:
        """Stores one frame's accepts and results, then acknowledges the results. The worker has acted already; it forgets a lease only on
        that acknowledgement. Locked: somebody's transaction holds a job's row; the others are acknowledged, and the worker says it again.
        """
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
        answers = list(zip(news, await self._news.submit_all(news), strict=True))
        if recorded := [n.said.lease for n, answer in answers if n.result and answer and not isinstance(answer, Exception)]:
            stream.send(ResultAck(recorded))
        self._refuse_stale(stream, [n.said.lease for n, answer in answers if answer is None])
        for n, answer in answers:
            if isinstance(answer, Locked):
                raise answer
            if isinstance(answer, Exception):
                await self.set_aside(n.said, answer)

    async def set_aside(self, said: Claimant, error: Exception) -> None:
        """Ends a job whose row PostgreSQL will not let go on (FAILED, REJECTED): it costs that job, not its worker's stream."""
        jobs_of = await self._database.run(lambda conn: leases.jobs_of(conn, [said]))
        await set_aside(self._database, jobs_of, error, "system:job_controller")
        if stream := self._presence.get(said.worker_id):
            self._refuse_stale(stream, [said.lease])

    async def rejected(self, stream: WorkerStream, refusals: dict[int, str]) -> None:
        for lease in refusals:
            stream.let_go(lease)
        said = [Claimant(lease, stream.worker_id) for lease in refusals]
        why = "; ".join(sorted(set(refusals.values())))[:200]
        back = await give_back(self._database, said, why, f"worker:{stream.worker_id}")
        if back:
            self._log.bind(worker_id=stream.worker_id).info("JobUnassigned: {} offers came back: {}", len(back), why)

    async def ended_late(self, stream: WorkerStream, late: stray_leases.Late) -> None:
        """The word of a worker whose lease no longer holds: for the record only (R1)."""
        said = late.result
        for _ in range(20):
            try:
                if await self._database.run(lambda conn: stray_leases.record_late(conn, late)):
                    break
            except psycopg.Error as error:
                self._log.bind(job_id=late.job_id).error("its late result cannot be kept: {}", sqlstate.primary(error))
                break
            await asyncio.sleep(0.05)
        else:
            raise Unavailable(f"late result of job {late.job_id}: its story did not come to rest")
        self._log.bind(job_id=late.job_id, worker_id=said.worker_id).info("JobLateResult {} of lease {}", said.outcome, said.lease)
        stream.send(ResultAck([said.lease]))

    async def started(self, stream: WorkerStream, started: list[int]) -> None:
        await self._database.run(lambda conn: leases.started(conn, stream.worker_id, started))

    async def cancel_delivered(self, stream: WorkerStream, told: list[int], *, stopping: bool) -> None:
        with contextlib.suppress(Locked):  # it is asked, and says it, again
            await self._database.run(lambda conn: leases.cancel_delivered(conn, stream.worker_id, told, stopping=stopping))

    def _refuse_stale(self, stream: WorkerStream, stale: Sequence[int]) -> None:
        """Tells a worker which leases do not hold; one log line for all of a frame."""
        for lease in stale:
            stream.let_go(lease)
            stream.send(Refused(lease, NOT_YOURS))
        if stale:
            self._log.bind(worker_id=stream.worker_id).info("{} refused, the first is lease {}: {}", len(stale), stale[0], NOT_YOURS)

    async def _flush(self, news: list[_News]) -> list[uuid.UUID | Ended | Exception | None]:
        """Results before accepts. If both are in the batch, the result writes RUNNING as well, and the accept is answered from it.
        Those whose rows are locked get Locked, and the others are stored."""
        try:
            return await self._settle(news)
        except Locked as error:
            locked = await self._database.run(lambda conn: leases.locked(conn, [n.said.lease for n in news]))
            if not locked:
                raise
            free = iter(await self._settle([n for n in news if n.said.lease not in locked]))
            return [error if n.said.lease in locked else next(free) for n in news]

    async def _settle(self, news: list[_News]) -> list[uuid.UUID | Ended | Exception | None]:
        results = {n.said: n.result for n in news if n.result}
        accepts = list(dict.fromkeys(n.said for n in news if n.result is None and n.said not in results))
        found, held = await self._database.run(lambda conn: leases.settle(conn, list(results.values()), accepts, MAX_LOSSES))
        ended = {Claimant(end.lease, end.worker_id): end for end in found}
        for end in found:
            self._say(end)
        for said in accepts:
            if said in held:
                self._log.bind(job_id=held[said], worker_id=said.worker_id).info("JobStatusChanged PENDING → RUNNING")
        return [self._answer(n, ended, held) for n in news]

    @staticmethod
    def _answer(news: _News, ended: dict[Claimant, Ended], held: dict[Claimant, uuid.UUID]) -> uuid.UUID | Ended | None:
        end = ended.get(news.said)
        if news.result is None and end is not None:
            return end.job_id  # accepted and ended in one flush
        return end or held.get(news.said)

    def _say(self, end: Ended) -> None:
        self._log.bind(correlation_id=end.correlation_id, actor=f"worker:{end.worker_id}", job_id=end.job_id, worker_id=end.worker_id).info(
            "JobStatusChanged {} → {}{}", end.old_state, end.new_state, f" ({end.reason})" if end.reason else ""
        )

    async def end_overrun(self, overrun: list[tuple[Claimant, str]]) -> None:
        """Ends attempts that their workers should have ended: FAILED, TIMEOUT. The worker hears of it by refusal, and kills them."""
        tail = ", and its worker did not end it"
        said = [
            Result(c.lease, c.worker_id, "FAILED", "system:job_rescuer", ran=True, reason="TIMEOUT", message=words + tail, log_chunks=-1)
            for c, words in overrun
        ]
        for end in await self._record(said):
            if stream := self._presence.get(end.worker_id):
                self._refuse_stale(stream, [end.lease])

    # ── attempts that no worker speaks for any more ──

    async def lose(self, lost: list[Claimant], message: str, actor: str) -> None:
        """Ends attempts whose worker is gone or does not know them: run again or failed, by policy."""
        said = [Result(c.lease, c.worker_id, "LOST", actor, ran=True, message=message, log_chunks=-1) for c in lost]
        await self._record(said)

    async def _record(self, said: Sequence[Result]) -> list[Ended]:
        """Stores what a sweep says in a worker's place. A job that cannot be stored is set aside; one that is locked is found again."""

        async def store(batch: list[Result]) -> list[Ended | None]:
            found = await self._database.run(lambda conn: leases.record_results(conn, batch, MAX_LOSSES))
            ended = {end.lease: end for end in found}
            return [ended.get(result.lease) for result in batch]

        stored: list[Ended] = []
        for result, answer in zip(said, await halves.each(said, store), strict=True):
            if isinstance(answer, Ended):
                self._say(answer)
                stored.append(answer)
            elif isinstance(answer, Exception) and not isinstance(answer, Locked):
                await self.set_aside(Claimant(result.lease, result.worker_id), answer)
        return stored

    async def _end_forgotten(self) -> None:
        while True:
            claimant = await self._presence.forgotten.get()
            try:
                await self.lose([claimant], "the worker lives but does not know this job any more", "system:job_controller")
            except TROUBLE as error:  # the next heartbeat names it again
                self._log.warning("lease {} cannot be ended: {}", claimant.lease, error)

    # ── cancel ──

    async def cancel(self, job_id: uuid.UUID, actor: str) -> None:
        """NotFound; Conflict: already final. Queued: CANCELLED at once. In flight: requested, and the worker will confirm. Locked:
        somebody's transaction has held the job's row for two seconds."""
        for runs_left in reversed(range(20)):  # a job on its way between queue and worker is in neither for a moment
            try:
                if await self._cancel_once(job_id, actor):
                    return
            except Locked:
                if not runs_left:
                    raise
            await asyncio.sleep(0.02)
        raise Conflict(f"job {job_id} changed hands twenty times while it was to be cancelled; try again")

    async def _cancel_once(self, job_id: uuid.UUID, actor: str) -> bool:
        log = self._log.bind(actor=actor, job_id=job_id)
        if await self._database.run(lambda conn: jobs.cancel_queued(conn, job_id, actor)):
            log.info("JobStatusChanged PENDING → CANCELLED")
            return True
        if await self._database.run(lambda conn: jobs.request_cancel(conn, job_id, actor)):
            log.info("JobCancelRequested")
            return True
        job = await self._database.run(lambda conn: jobs.get(conn, job_id))
        if job is None:
            raise NotFound(f"no job {job_id}")
        if job.state in FINAL:
            raise Conflict(f"job {job_id} is already {job.state}: a final state never changes")
        if job.cancel_requested:
            return True
        if await self._database.run(lambda conn: jobs.cancel_stray(conn, job_id, actor)):
            log.info("JobStatusChanged PENDING → CANCELLED: it was in no queue")
            return True
        return False

    async def deliver_cancels(self, workers: list[uuid.UUID]) -> None:
        """Tells workers of this server which of their jobs are to stop; asked again until the worker says that it is stopping."""
        mine = [worker for worker in workers if self._presence.get(worker)]
        if not mine:
            return
        for claimant in await self._database.run(lambda conn: leases.undelivered_cancels(conn, mine)):
            if stream := self._presence.get(claimant.worker_id):
                stream.send(Cancel(claimant.lease, "CANCELLED", "cancelled"))
