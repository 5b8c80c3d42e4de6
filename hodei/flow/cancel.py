"""A cancel: a waiting job ends at once; one in flight is asked to stop, again and again until its
worker says that it is stopping it."""

import asyncio
import contextlib
import uuid
from collections.abc import Sequence

import psycopg
from loguru import logger

from hodei.access.limits import CallersDatabase
from hodei.domain.errors import Conflict, Locked, NotFound
from hodei.domain.job import FINAL, Reason
from hodei.domain.job_line import JobLine
from hodei.fleet.messages import Cancel
from hodei.fleet.presence import Presence
from hodei.fleet.stream import WorkerStream
from hodei.flow import job_lines
from hodei.flow.set_aside import set_aside
from hodei.store import cancels, jobs, leases
from hodei.store.database import Database

TRIES = 20
"""How often a cancel looks for its job, 20 ms apart: on the way between queue and worker a job is
in neither for a moment, and its row may be locked."""

AGAIN_S = 0.02


class Canceller:
    """`callers` gives whoever asks for a cancel a turn at the database."""

    def __init__(self, database: Database, callers: CallersDatabase, presence: Presence) -> None:
        self._database = database
        self._callers = callers
        self._presence = presence
        self._log = logger.bind(component="JobController")

    async def cancel(self, job_id: uuid.UUID, actor: str) -> None:
        """Ends a waiting job as CANCELLED; of one in flight the cancel is recorded, and its worker
        will confirm it.

        NotFound. Conflict: the job is final already. Locked: somebody's transaction held the job's
        row at each of TRIES tries. Exhausted: no turn at the database."""
        async with self._callers.turn():
            await self._cancel(job_id, actor)

    async def _cancel(self, job_id: uuid.UUID, actor: str) -> None:
        for tries_left in reversed(range(TRIES)):
            try:
                if await self._try(job_id, actor):
                    return
            except Locked:
                if not tries_left:
                    raise
            except psycopg.Error as error:  # its row cannot be written; the job ends all the same
                await set_aside(self._database, [job_id], error, actor)
                return
            await asyncio.sleep(AGAIN_S)
        raise Conflict(
            f"job {job_id} changed hands twenty times while it was to be cancelled; try again"
        )

    async def _try(self, job_id: uuid.UUID, actor: str) -> bool:
        """Returns whether the cancel is done or recorded. False: the job was on its way between
        queue and worker."""
        waited = await self._database.run(lambda conn: cancels.cancel_queued(conn, job_id, actor))
        if waited is not None:
            self._say(JobLine(job_lines.CANCELLED, waited, actor, job_id))
            return True
        asked = await self._database.run(lambda conn: cancels.request_cancel(conn, job_id, actor))
        if asked:
            about = (asked.correlation_id, actor, job_id, asked.worker_id)
            self._say(JobLine("JobCancelRequested", *about))
            return True
        if await self._is_asked_already(job_id):
            return True
        stray = await self._database.run(lambda conn: cancels.cancel_stray(conn, job_id, actor))
        if stray is None:
            return False
        self._say(JobLine(f"{job_lines.CANCELLED}: it was in no queue", stray, actor, job_id))
        return True

    async def _is_asked_already(self, job_id: uuid.UUID) -> bool:
        job = await self._database.run(lambda conn: jobs.get(conn, job_id))
        if job is None:
            raise NotFound(f"no job {job_id}")
        if job.state in FINAL:
            raise Conflict(f"job {job_id} is already {job.state}: a final state never changes")
        return job.cancel_requested

    def _say(self, line: JobLine) -> None:
        job_lines.say(self._log, [line])

    async def deliver(self, workers: Sequence[uuid.UUID]) -> None:
        """Tells those of the workers whose streams are here which of their jobs are to stop."""
        mine = [worker for worker in workers if self._presence.get(worker)]
        if not mine:
            return
        for claimant in await self._database.run(
            lambda conn: leases.undelivered_cancels(conn, mine)
        ):
            if stream := self._presence.get(claimant.worker_id):
                stream.send(Cancel(claimant.lease, Reason.CANCELLED, "cancelled"))

    async def record_delivery(
        self, stream: WorkerStream, told: Sequence[int], *, stopping: bool
    ) -> None:
        """Writes down that the worker knows of the cancels of these leases; `stopping`: their
        processes have got TERM. Where a row is locked nothing is written: the worker is asked, and
        says it, again."""
        numbers = list(told)
        with contextlib.suppress(Locked):
            await self._database.run(
                lambda conn: leases.cancel_delivered(
                    conn, stream.worker_id, numbers, stopping=stopping
                )
            )
