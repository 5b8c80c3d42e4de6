"""Sweeps of the queue: jobs whose time has come are made ready, and jobs that have waited too long
are ended."""

import uuid

from loguru import logger

from hodei.domain.job import JobState, Reason
from hodei.domain.job_line import JobLine
from hodei.flow import job_lines
from hodei.flow.sweeps.each import ACTOR, for_each_job
from hodei.store import job_queue
from hodei.store.database import Connection, Database

EXPIRED = job_lines.changed(JobState.PENDING, JobState.FAILED, Reason.TIMEOUT)


class QueueSweeps:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = logger.bind(component="JobRescuer")

    async def start_timeouts(self) -> None:
        """Begins to count the queue_timeout of jobs that no server had seen."""
        await self._database.run(job_queue.start_timeouts)

    async def file(self) -> None:
        """Writes the project of jobs into queue rows of the release before, which say none."""
        await self._database.run(job_queue.file)

    async def promote(self) -> None:
        """Makes jobs ready whose run_at or back-off has passed."""
        due = await self._database.run(job_queue.due)
        await for_each_job(self._database, due, job_queue.promote)

    async def expire(self) -> None:
        """Ends jobs whose queue_timeout has passed: FAILED, TIMEOUT."""
        expired = await self._database.run(job_queue.expired)
        await for_each_job(self._database, expired, self._expire)

    async def _expire(self, conn: Connection, some: list[uuid.UUID]) -> None:
        ended = await job_queue.expire(conn, some)
        lines = [JobLine(EXPIRED, one.correlation_id, ACTOR, one.job_id) for one in ended]
        job_lines.say(self._log, lines)
