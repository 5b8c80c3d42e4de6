"""What workers report of their leases (accepts, results, starts, rejected offers) becomes the state
of jobs, in batches, each report under its lease.

A worker whose lease no longer holds is refused at once and kills that job's processes: only one
claim may ever speak for a job."""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from loguru import logger

from hodei.domain.errors import Locked
from hodei.fleet.messages import Refused, ResultAck
from hodei.fleet.regain import regain
from hodei.fleet.stream import WorkerStream
from hodei.flow.batcher import Batcher
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.give_back import give_back
from hodei.flow.late import record_late_result
from hodei.flow.leftovers import judge_leftovers
from hodei.flow.reports import Report, Reports
from hodei.flow.set_aside import set_aside_lease
from hodei.store import halves, leases, sqlstate
from hodei.store.database import TROUBLE, Database
from hodei.store.late_results import Late
from hodei.store.leases import Claimant
from hodei.store.leftovers import Leftover
from hodei.store.results import Result

NOT_YOURS = "this lease no longer holds: the job was given away, cancelled or has ended"

MOST_PARKED = 10_000
"""Reports whose job's row is locked. When there are more, their streams end, and their workers
report again."""

PARKED_S = 0.25
"""Seconds between two looks whether parked reports are still locked."""

ACTOR = "system:job_controller"


class _Parked(NamedTuple):
    stream: WorkerStream
    report: Report
    error: Locked


class Settler:
    """Settles what all streams of this server report."""

    def __init__(
        self,
        database: Database,
        dispatcher: JobDispatcher,
        ended: Callable[[uuid.UUID], None],
    ) -> None:
        """`ended` is called with the id of each job of which an attempt has ended."""
        self._database = database
        self._dispatcher = dispatcher
        self._reports = Reports(database, ended)
        self._batches: Batcher[Report, bool] = Batcher(
            self._reports.store, most=500, patient=True, rest=1.0
        )
        self._parked: list[_Parked] = []
        self._log = logger.bind(component="JobController")

    async def run(self) -> None:
        """Stores what is reported, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._batches.run())
            await self._settle_parked()

    # ── accepts and results ──

    async def settle(
        self, stream: WorkerStream, accepted: Sequence[int], results: Sequence[Result]
    ) -> None:
        """Stores one frame's accepted leases and results, then acknowledges the results. The
        worker has acted already, and forgets a lease only on that acknowledgement.

        A report whose job's row is locked is stored later. Locked: too many are."""
        jobs = dict(stream.held)
        for lease in accepted:
            stream.on_accept(lease)
        for result in results:
            stream.forget_lease(result.lease)
            if result.ran:
                stream.ahead.record_run(result.run_us / 1e6)
        if results:
            self._dispatcher.wake()
        reports = [Report(Claimant(lease, stream.worker_id), None) for lease in accepted]
        reports += [Report(Claimant(result.lease, stream.worker_id), result) for result in results]
        await self._answer(stream, reports, await self._store(reports, jobs))

    async def _store(
        self, reports: Sequence[Report], jobs: Mapping[int, uuid.UUID]
    ) -> list[bool | Exception]:
        """Stores reports; `jobs`: of the leases. Returns whether the lease of each holds."""
        holds = await self._batches.submit_all(reports)
        stale = [one for one, answer in zip(reports, holds, strict=True) if answer is False]
        known = [job for one in stale if (job := jobs.get(one.claimant.lease))]
        if not await regain(self._database, known):
            return list(holds)
        again = iter(await self._batches.submit_all(stale))
        return [next(again) if answer is False else answer for answer in holds]

    async def _answer(
        self, stream: WorkerStream, reports: Sequence[Report], holds: Sequence[bool | Exception]
    ) -> None:
        """Tells the worker what has become of its reports: whether each one's lease holds. One that is
        parked stays reported, or its offer would lapse and the job run twice."""
        both = list(zip(reports, holds, strict=True))
        stream.reported.difference_update(
            report.claimant.lease for report, answer in both if not isinstance(answer, Locked)
        )
        if recorded := [
            report.claimant.lease for report, answer in both if report.result and answer is True
        ]:
            stream.send(ResultAck(recorded))
        refuse(stream, [report.claimant.lease for report, answer in both if answer is False])
        for report, answer in both:
            if isinstance(answer, Locked):
                self._park(stream, report, answer)
            elif isinstance(answer, Exception):
                await set_aside_lease(self._database, report.claimant, answer, ACTOR)
                refuse(stream, [report.claimant.lease])

    # ── reports of jobs whose rows are locked ──

    def _park(self, stream: WorkerStream, report: Report, error: Locked) -> None:
        """Keeps a report until the transaction that holds its job's row has ended; nobody waits
        for it."""
        if len(self._parked) >= MOST_PARKED:
            raise error
        self._parked.append(_Parked(stream, report, error))

    async def _settle_parked(self) -> None:
        """Stores what is not locked any more, for ever. A report of a stream that has ended is
        dropped: its worker reports again."""
        while True:
            await asyncio.sleep(PARKED_S)
            parked = [one for one in self._parked if not one.stream.closed.is_set()]
            self._parked = []
            if not parked:
                continue
            try:
                await self._settle_free(parked)
            except TROUBLE as error:
                self._log.warning(
                    "what waits for locks waits for the database: {}", sqlstate.primary(error)
                )
                self._parked += [one for one in parked if one not in self._parked]

    async def _settle_free(self, parked: Sequence[_Parked]) -> None:
        numbers = [one.report.claimant.lease for one in parked]
        locked = await self._database.run(lambda conn: leases.locked(conn, numbers))
        self._parked += [one for one in parked if one.report.claimant.lease in locked]
        for stream, report, error in parked:
            if report.claimant.lease not in locked:
                await self._answer(stream, [report], await self._store_again(report, error))

    async def _store_again(self, report: Report, error: Locked) -> Sequence[bool | Exception]:
        """Stores a parked report; apart from all others if somebody's trigger kept it too long."""
        if sqlstate.is_slow(error):
            return await halves.each([report], self._reports.store, error)
        return await self._batches.submit_all([report])

    # ── late results, starts, rejected offers and leftovers ──

    async def record_late_result(self, stream: WorkerStream, late: Late) -> None:
        """Keeps a result for the record whose lease no longer holds, and acknowledges it."""
        await record_late_result(self._database, stream, late)

    async def judge_leftovers(self, stream: WorkerStream, found: Sequence[Leftover]) -> None:
        """Tells a worker which containers of other workers nobody will end."""
        await judge_leftovers(self._database, stream, found)

    async def record_starts(self, stream: WorkerStream, started: Sequence[int]) -> None:
        """Writes down that the processes of these leases run: their start_timeout is over."""
        numbers = list(started)
        await self._database.run(lambda conn: leases.started(conn, stream.worker_id, numbers))

    async def take_back_rejected(self, stream: WorkerStream, reasons: dict[int, str]) -> None:
        """Gives offers back that the worker rejects, each lease with the worker's reason. Their
        room is free after that: before, the worker would get jobs that were submitted later."""
        rejected = [Claimant(lease, stream.worker_id) for lease in reasons]
        why = "; ".join(sorted(set(reasons.values())))[:200]
        try:
            await give_back(self._database, rejected, why, f"worker:{stream.worker_id}")
        finally:
            stream.take_back(reasons)


def refuse(stream: WorkerStream, stale: Sequence[int]) -> None:
    """Tells a worker which of its leases do not hold; one log line for all of them."""
    for lease in stale:
        stream.forget_lease(lease)
        stream.send(Refused(lease, NOT_YOURS))
    if stale:
        logger.bind(component="JobController", worker_id=stream.worker_id).info(
            "{} refused, the first is lease {}: {}", len(stale), stale[0], NOT_YOURS
        )
