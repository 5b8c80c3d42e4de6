"""The controller takes news in: accepts, results, rejects and cancels become states, in batches, each under its lease.

A refused speaker is told so at once and kills that job's processes: only one claim may ever speak for a job.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from loguru import logger

from hodei.domain.errors import Conflict, NotFound, Unavailable
from hodei.domain.job import FINAL, MAX_LOSSES
from hodei.fleet.presence import Cancel, Presence, Refused, ResultAck, WorkerStream
from hodei.flow.batcher import Batcher
from hodei.flow.dispatch import JobDispatcher
from hodei.store import jobs, leases, stray_leases
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
            group.create_task(self._end_forgotten())

    async def heard(self, stream: WorkerStream, accepts: Sequence[int], results: Sequence[Result]) -> None:
        """Of one frame. A slot that took a job has started it without waiting for this commit (R2), one whose job has ended is free at
        once; the worker forgets a lease only when the commit is acknowledged."""
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
        recorded: list[int] = []
        for (said, of_result), answer in zip(news, await self._news.submit_all(news), strict=True):
            if isinstance(answer, Exception):
                raise answer
            if answer is None:
                self._refuse(stream, said.lease)
            elif of_result:
                recorded.append(said.lease)
        if recorded:
            stream.send(ResultAck(recorded))

    async def rejected(self, stream: WorkerStream, refusals: dict[int, str]) -> None:
        for lease in refusals:
            stream.let_go(lease)
        said = [Claimant(lease, stream.worker_id) for lease in refusals]
        why = "; ".join(sorted(set(refusals.values())))[:200]
        await self._database.run(lambda conn: leases.release(conn, said, why, f"worker:{stream.worker_id}"))
        self._log.bind(worker_id=stream.worker_id).info("JobUnassigned: {} offers came back: {}", len(said), why)

    async def ended_late(self, stream: WorkerStream, late: stray_leases.Late) -> None:
        """The word of a worker whose lease no longer holds: for the record only (R1)."""
        for _ in range(20):
            if await self._database.run(lambda conn: stray_leases.record_late(conn, late)):
                break
            await asyncio.sleep(0.05)
        else:
            raise Unavailable(f"late result of job {late.job_id}: its story did not come to rest")
        said = late.result
        self._log.bind(job_id=late.job_id, worker_id=said.worker_id).info("JobLateResult {} of lease {}", said.outcome, said.lease)
        stream.send(ResultAck([said.lease]))

    async def started(self, stream: WorkerStream, started: list[int]) -> None:
        await self._database.run(lambda conn: leases.started(conn, stream.worker_id, started))

    async def cancel_delivered(self, stream: WorkerStream, told: list[int], *, stopping: bool) -> None:
        await self._database.run(lambda conn: leases.cancel_delivered(conn, stream.worker_id, told, stopping=stopping))

    def _refuse(self, stream: WorkerStream, lease: int) -> None:
        stream.let_go(lease)
        stream.send(Refused(lease, NOT_YOURS))
        self._log.bind(worker_id=stream.worker_id).info("refused lease {}: {}", lease, NOT_YOURS)

    async def _flush(self, news: list[_News]) -> list[uuid.UUID | Ended | None]:
        """Results first: one that overtook its own accept writes RUNNING too, and that accept finds the lease gone."""
        results = {n.said.lease: n.result for n in news if n.result}
        accepts = [n.said for n in news if n.result is None and n.said.lease not in results]
        found, held = await self._database.run(lambda conn: leases.settle(conn, list(results.values()), accepts, MAX_LOSSES))
        ended = {end.lease: end for end in found}
        for end in ended.values():
            self._say(end)
        for said in accepts:
            if said.lease in held:
                self._log.bind(job_id=held[said.lease], worker_id=said.worker_id).info("JobStatusChanged PENDING → RUNNING")
        return [self._answer(n, ended, held) for n in news]

    @staticmethod
    def _answer(news: _News, ended: dict[int, Ended], held: dict[int, uuid.UUID]) -> uuid.UUID | Ended | None:
        end = ended.get(news.said.lease)
        if news.result is None and end is not None:
            return end.job_id  # accepted and ended in one flush
        return end or held.get(news.said.lease)

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
        for end in await self._database.run(lambda conn: leases.record_results(conn, said, MAX_LOSSES)):
            self._say(end)
            if stream := self._presence.get(end.worker_id):
                self._refuse(stream, end.lease)

    # ── attempts that no worker speaks for any more ──

    async def lose(self, lost: list[Claimant], message: str, actor: str) -> None:
        """Ends attempts whose worker is gone or does not know them: run again or failed, by policy."""
        said = [Result(c.lease, c.worker_id, "LOST", actor, ran=True, message=message, log_chunks=-1) for c in lost]
        for end in await self._database.run(lambda conn: leases.record_results(conn, said, MAX_LOSSES)):
            self._say(end)

    async def _end_forgotten(self) -> None:
        while True:
            claimant = await self._presence.forgotten.get()
            try:
                await self.lose([claimant], "the worker lives but does not know this job any more", "system:job_controller")
            except TROUBLE as error:  # the next heartbeat names it again
                self._log.warning("lease {} cannot be ended: {}", claimant.lease, error)

    # ── cancel ──

    async def cancel(self, job_id: uuid.UUID, actor: str) -> None:
        """NotFound; Conflict: already final. Queued: CANCELLED at once. In flight: requested, and the worker will confirm (R12)."""
        for _ in range(5):  # a job on its way between queue and worker is in neither for a moment
            if await self._database.run(lambda conn: jobs.cancel_queued(conn, job_id, actor)):
                self._log.bind(actor=actor, job_id=job_id).info("JobStatusChanged PENDING → CANCELLED")
                return
            if await self._database.run(lambda conn: jobs.request_cancel(conn, job_id, actor)):
                self._log.bind(actor=actor, job_id=job_id).info("JobCancelRequested")
                return
            job = await self._database.run(lambda conn: jobs.get(conn, job_id))
            if job is None:
                raise NotFound(f"no job {job_id}")
            if job.state in FINAL:
                raise Conflict(f"job {job_id} is already {job.state}: a final state never changes")
            if job.cancel_requested:
                return
            await asyncio.sleep(0.02)
        raise Conflict(f"job {job_id} changed hands five times while it was to be cancelled; try again")

    async def deliver_cancels(self, workers: list[uuid.UUID]) -> None:
        """Tells workers of this server which of their jobs are to stop; asked again until the worker says that it is stopping."""
        mine = [worker for worker in workers if self._presence.get(worker)]
        if not mine:
            return
        for claimant in await self._database.run(lambda conn: leases.undelivered_cancels(conn, mine)):
            if stream := self._presence.get(claimant.worker_id):
                stream.send(Cancel(claimant.lease, "CANCELLED", "cancelled"))
