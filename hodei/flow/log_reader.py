"""Logs out: committed pages from a cursor on, and for followers what comes until the job is final.

A reader never slows a writer. One statement each TAIL_EVERY_S asks for all followed jobs of this
server together whether they have moved; a follower reads only then. While its
client does not take a page it holds that page and nothing else; the more readers there are, the
smaller are their pages."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple

from loguru import logger

from hodei.domain.errors import Invalid, NotFound
from hodei.domain.job import FINAL
from hodei.domain.text import words_of
from hodei.flow import job_shapes
from hodei.shapes.job import Job
from hodei.store import job_logs, jobs
from hodei.store.database import TROUBLE, Database, Runs
from hodei.store.job_logs import StoredChunk

TAIL_EVERY_S = 0.1
"""Seconds between two looks at followed jobs whose logs come through another server; through this
one followers are woken at once."""

PAGES_BYTES = 64 << 20
"""Bytes of all readers' pages together, unless there are so many readers (access/limits.py) that
SMALLEST_PAGE for each is more. A page may end one chunk (64 KiB) beyond its part."""

SMALLEST_PAGE, LARGEST_PAGE = 16 << 10, 256 << 10
"""Bytes of one page."""


class LogPage(NamedTuple):
    """A page of a log. The last page of a call that followed has no chunks and the final job."""

    chunks: list[StoredChunk]
    cursor: str  # where the next page goes on
    final: Job | None


class LogReader:
    """`readers` is the database for callers, where pages are read; `database` is asked which jobs
    have moved."""

    def __init__(self, database: Database, readers: Runs) -> None:
        self._database = database
        self._reads = readers
        self._readers = 0
        self._followers: dict[uuid.UUID, set[asyncio.Event]] = {}  # by job; bounded as readers are
        self._followed = asyncio.Event()

    async def run(self) -> None:
        """Wakes the followers of jobs that have moved, for ever. While the database is in trouble
        it wakes all, so that each of them meets the trouble by itself."""
        before: dict[uuid.UUID, job_logs.Progress] = {}
        while True:
            await self._followed.wait()
            await asyncio.sleep(TAIL_EVERY_S)
            jobs_followed = list(self._followers)
            try:
                now = await self._database.run(
                    lambda conn, ids=jobs_followed: job_logs.progress(conn, ids)  # type: ignore[misc]
                )
            except TROUBLE as error:
                logger.bind(component="LogReader").debug("followers wait: {}", words_of(error))
                now = {}
            for job_id in jobs_followed:
                if job_id not in now or now[job_id] != before.get(job_id):
                    self.wake(job_id)
            before = now

    def wake(self, job_id: uuid.UUID) -> None:
        """Tells the followers of a job that its log or state has moved."""
        for moved in self._followers.get(job_id, ()):
            moved.set()

    async def read(self, job_id: uuid.UUID, cursor: str, *, follow: bool) -> AsyncIterator[LogPage]:
        """Yields pages from the cursor on; with `follow` until the job is final and all is sent.
        NotFound: there is no such job. Invalid: the cursor is none of ours.

        The state is read before the page that finds nothing more, as no final state is written
        before the log's tail (rule 5). Whoever takes a page empties its list, so that it is not
        kept here meanwhile."""
        lease, seq = parse_cursor(cursor)
        moved = asyncio.Event()
        self._enter(job_id, moved if follow else None)
        try:
            while True:
                moved.clear()
                progress = (
                    await self._reads.run(lambda conn: job_logs.progress(conn, [job_id]))
                ).get(job_id)
                if progress is None:
                    raise NotFound(f"no job {job_id}")
                while chunks := await self._chunks(job_id, progress, lease, seq):
                    lease, seq = chunks[-1].lease, chunks[-1].seq
                    yield LogPage(chunks, f"{lease}.{seq}", None)
                if not follow:
                    yield LogPage([], f"{lease}.{seq}", None)
                    return
                if progress.state in FINAL:
                    yield LogPage([], f"{lease}.{seq}", await self._final(job_id))
                    return
                await moved.wait()
        finally:
            self._leave(job_id, moved)

    async def _final(self, job_id: uuid.UUID) -> Job | None:
        job = await self._reads.run(lambda conn: jobs.get(conn, job_id))
        return job_shapes.of_job(job) if job else None

    async def _chunks(
        self, job_id: uuid.UUID, progress: job_logs.Progress, lease: int, seq: int
    ) -> list[StoredChunk]:
        size = max(SMALLEST_PAGE, min(LARGEST_PAGE, PAGES_BYTES // self._readers))
        born = progress.created_at
        return await self._reads.run(
            lambda conn: job_logs.read(conn, job_id, born, lease, seq, size)
        )

    def _enter(self, job_id: uuid.UUID, moved: asyncio.Event | None) -> None:
        self._readers += 1
        if moved:
            self._followers.setdefault(job_id, set()).add(moved)
            self._followed.set()

    def _leave(self, job_id: uuid.UUID, moved: asyncio.Event) -> None:
        self._readers -= 1
        followers = self._followers.get(job_id, set())
        followers.discard(moved)
        if not followers:
            self._followers.pop(job_id, None)
        if not self._followers:
            self._followed.clear()


def parse_cursor(cursor: str) -> tuple[int, int]:
    """The lease and seq of the last chunk that was read, from `lease.seq`; before the first one for
    an empty text. Invalid: it is no cursor."""
    if not cursor:
        return 0, -1
    lease, _, seq = cursor.partition(".")
    try:
        place = int(lease[:20]), int(seq[:20])
    except ValueError:
        place = -1, -1
    if not (0 <= place[0] < 1 << 63 and -1 <= place[1] < 1 << 63):
        raise Invalid(f"cursor: expected the cursor of an earlier answer, got {cursor[:80]!r}")
    return place
