"""Logs out: committed pages from a cursor on, and for followers what comes until the job is final.

A reader never slows a writer. Who follows reads only when the job has moved (flow/watch.py). While
its client does not take a page it holds that page and nothing else; the more readers there are, the
smaller are their pages."""

import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple

from hodei.access.principal import Principal
from hodei.domain.errors import Invalid, NotFound
from hodei.domain.job import FINAL, JobState
from hodei.flow import job_shapes
from hodei.flow.last_lines import starts_of
from hodei.flow.log_place import ANYWHERE, MOST_LINES, Place, WantedLog, parse_cursor
from hodei.flow.waits import Telling, Waits
from hodei.flow.watch import Watch
from hodei.shapes.job import Job
from hodei.store import job_logs, jobs
from hodei.store.database import Runs
from hodei.store.job_logs import NOTICE, STDERR, STDOUT, Part, Progress, StoredChunk

PAGES_BYTES = 64 << 20
"""Bytes of all readers' pages together, or SMALLEST_PAGE for each of them (access/limits.py) where
that is more. A page may end one chunk (64 KiB) beyond its part."""

SMALLEST_PAGE, LARGEST_PAGE = 16 << 10, 256 << 10
"""Bytes of one page."""


class LogPage(NamedTuple):
    """A page of a log. The last page of a call that followed has no chunks and the final job."""

    chunks: list[StoredChunk]
    cursor: str  # where the next page goes on
    final: Job | None = None
    waiting_for: str = ""  # why the job does not run, where it is told


class LogReader:
    """Reads by `reads`, the database for callers."""

    def __init__(self, reads: Runs, watch: Watch, waits: Waits) -> None:
        self._reads = reads
        self._watch = watch
        self._waits = waits
        self._readers = 0

    async def read(
        self, job_id: uuid.UUID, wanted: WantedLog, who: Principal
    ) -> AsyncIterator[LogPage]:
        """Yields pages from the cursor on; with `follow` until the job is final and all is sent.
        NotFound: there is no such job, or no such attempt of it. Invalid: the cursor is none of
        ours, or too many lines are asked for.

        The state is read before the page that finds nothing more, as no final state is written
        before the log's tail (rule 5). Whoever takes a page empties its list, so that it is not
        kept here meanwhile."""
        place, telling = parse_cursor(wanted.cursor), Telling(self._waits)
        self._readers += 1
        try:
            with self._watch.watching([job_id] if wanted.follow else []) as moved:
                progress = await self._begin(job_id, wanted, place, who)
                while True:
                    while chunks := await self._chunks(job_id, progress, wanted, place):
                        yield LogPage(place.advance(chunks), place.cursor)
                    if not wanted.follow:
                        yield LogPage([], place.cursor)
                        return
                    if progress.state in FINAL:
                        yield LogPage([], place.cursor, await self._final(job_id))
                        return
                    if wanted.tell_waiting and progress.state == JobState.PENDING:
                        async for _, words in telling.until(moved, [job_id]):
                            yield LogPage([], place.cursor, waiting_for=words)
                    await moved.wait()
                    moved.clear()
                    progress = await self._progress(job_id, who)
        finally:
            self._readers -= 1

    async def _begin(
        self, job_id: uuid.UUID, wanted: WantedLog, place: Place, who: Principal
    ) -> Progress:
        """Checks what is wanted, and finds where the last lines start unless the cursor says it."""
        progress = await self._progress(job_id, who)
        if wanted.attempt and not 1 <= wanted.attempt <= progress.attempts:
            raise NotFound(f"no attempt {wanted.attempt} of job {job_id}: {_has(progress)}")
        lines = wanted.last_lines
        if lines is not None and not wanted.cursor:
            if lines > MOST_LINES:
                raise Invalid(f"tail_lines: expected at most {MOST_LINES}, got {lines}")
            born = progress.created_at
            place.starts = await starts_of(self._reads, job_id, born, lines, wanted.attempt)
        return progress

    async def _progress(self, job_id: uuid.UUID, who: Principal) -> Progress:
        found = await self._reads.run(lambda conn: job_logs.progress(conn, [job_id], who.project))
        if job_id not in found:
            raise NotFound(f"no job {job_id}")
        return found[job_id]

    async def _final(self, job_id: uuid.UUID) -> Job | None:
        job = await self._reads.run(lambda conn: jobs.get(conn, job_id))
        return job_shapes.of_job(job) if job else None

    async def _chunks(
        self, job_id: uuid.UUID, progress: Progress, wanted: WantedLog, place: Place
    ) -> list[StoredChunk]:
        size = max(SMALLEST_PAGE, min(LARGEST_PAGE, PAGES_BYTES // self._readers))
        starts = [place.starts.get(stream, ANYWHERE)[:2] for stream in (STDOUT, STDERR, NOTICE)]
        part = Part((place.lease, place.seq), wanted.attempt, wanted.since, starts)
        return await self._reads.run(
            lambda conn: job_logs.read(conn, job_id, progress.created_at, part, size)
        )


def _has(progress: Progress) -> str:
    """Which attempts a job has, in words."""
    if not progress.attempts:
        return "it has not begun one yet"
    return (
        "it has only attempt 1"
        if progress.attempts == 1
        else (f"it has the attempts 1 to {progress.attempts}")
    )
