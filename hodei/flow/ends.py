"""Ends of jobs, for callers who wait for them: each end is reported once, when it comes."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from hodei.access.limits import Quota
from hodei.access.principal import Principal, caller
from hodei.domain.errors import Invalid, NotFound
from hodei.domain.job import FINAL
from hodei.flow import job_shapes
from hodei.flow.waits import Telling, Waits
from hodei.flow.watch import Watch
from hodei.shapes.job import Job
from hodei.store import job_logs, jobs
from hodei.store.database import Runs

MOST_JOBS = 1000
"""Jobs of one call."""

PAGE = 100
"""Jobs of one answer: some 250 KB, with the longest messages."""

NAMED = 10
"""Unknown jobs that an error names."""


class WantedEnds(NamedTuple):
    """The jobs whose ends a caller waits for."""

    job_ids: Sequence[uuid.UUID]
    any_one: bool = False  # only until one of them has ended
    tell_waiting: bool = False
    goes_on: bool = False  # an earlier call has found all of the jobs


class EndsPage(NamedTuple):
    """What has happened since the last page."""

    ended: Sequence[Job] = ()  # without their specs, in the order of the request
    deleted: Sequence[uuid.UUID] = ()  # gone before their end was seen
    waiting_for: str = ""  # why the first of the jobs that wait does not run
    waiting_job: uuid.UUID | None = None


class Ends:
    """`jobs_waited_for` bounds the jobs of all calls together: 1 KB of memory each."""

    def __init__(self, reads: Runs, watch: Watch, waits: Waits, jobs_waited_for: Quota) -> None:
        self._reads = reads
        self._watch = watch
        self._waits = waits
        self._jobs_waited_for = jobs_waited_for

    async def wait(self, wanted: WantedEnds, who: Principal) -> AsyncIterator[EndsPage]:
        """Yields an empty page when all of the jobs are found, then pages until all have ended, or
        one. Invalid: no jobs, or more than MOST_JOBS. NotFound: one of them is unknown. A call that goes
        on reports such a job as deleted. Exhausted: too many jobs are waited for."""
        left = dict.fromkeys(wanted.job_ids)
        if not 1 <= len(left) <= MOST_JOBS:
            raise Invalid(f"job_ids: expected 1 to {MOST_JOBS} jobs, got {len(left)}")
        with self._counted(len(left)), self._watch.watching(left) as moved:
            if not wanted.goes_on:
                await self._check(left, who)
            yield EndsPage()
            telling = Telling(self._waits)
            while True:
                moved.clear()
                told = False
                async for page in self._ends(left, moved, who):
                    told = True
                    yield page
                if not left or (told and wanted.any_one):
                    return
                if wanted.tell_waiting:
                    async for job_id, words in telling.until(moved, left):
                        yield EndsPage(waiting_for=words, waiting_job=job_id)
                await moved.wait()

    @contextmanager
    def _counted(self, count: int) -> Iterator[None]:
        address = caller.get().address
        self._jobs_waited_for.acquire(address, count)
        try:
            yield
        finally:
            self._jobs_waited_for.give_back(address, count)

    async def _check(self, left: dict[uuid.UUID, None], who: Principal) -> None:
        known = await self._progress(left, who)
        if unknown := [str(job_id) for job_id in left if job_id not in known]:
            more = len(unknown) - NAMED
            words = ", ".join(unknown[:NAMED]) + (f" and {more} more" if more > 0 else "")
            raise NotFound(f"no job {words}")

    async def _ends(
        self, left: dict[uuid.UUID, None], moved: asyncio.Event, who: Principal
    ) -> AsyncIterator[EndsPage]:
        """Takes the jobs out of `left` that have ended or are gone, and yields them."""
        now = await self._progress(left, who)
        over = [i for i in left if i not in now or now[i].state in FINAL]
        for first in range(0, len(over), PAGE):
            page = over[first : first + PAGE]
            there = [job_id for job_id in page if job_id in now]
            found = await self._reads.run(lambda conn, ids=there: jobs.of_ids(conn, ids))  # type: ignore[misc]
            by_id = {job.id: job for job in found}
            for job_id in page:
                del left[job_id]
                self._watch.leave(moved, job_id)
            yield EndsPage(
                [job_shapes.of_job(by_id[i], with_spec=False) for i in page if i in by_id],
                [i for i in page if i not in by_id],
            )

    async def _progress(
        self, left: dict[uuid.UUID, None], who: Principal
    ) -> dict[uuid.UUID, job_logs.Progress]:
        ids = list(left)
        return await self._reads.run(lambda conn: job_logs.progress(conn, ids, who.project))
