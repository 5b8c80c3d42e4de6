"""Logs out: committed pages by cursor, and for followers what comes until the job is final.

A reader never slows a writer. One statement each TAIL_EVERY_S asks for all followed jobs of this
server together whether they have moved; a follower reads only then. While it does not take a page
it holds that page and nothing else; the more readers there are the smaller are their pages."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple

from loguru import logger

from hodei.domain.errors import Invalid, NotFound
from hodei.domain.job import FINAL
from hodei.domain.text import words_of
from hodei.store import job_logs, jobs
from hodei.store.database import TROUBLE, Database, Runs
from hodei.store.job_logs import StoredChunk
from hodei.store.jobs import Job

TAIL_EVERY_S = 0.1
"""Look at followed jobs that write through another server; through this one followers are woken at
once."""

MOST_READERS = 1_000
"""Of one server. Full: a further one is refused with RESOURCE_EXHAUSTED (rpc/limits.py)."""

PAGES_BYTES = 64 << 20
"""Of all readers' pages together, as far as a page of SMALLEST_PAGE for each leaves it: a page is a
part of this by the number of readers. A page may end one chunk (64 KiB) beyond."""

SMALLEST_PAGE, LARGEST_PAGE = 16 << 10, 256 << 10


class Page(NamedTuple):
    chunks: list[StoredChunk]
    cursor: str  # to resume at
    final: Job | None  # of a call that followed, with its last page, which has no chunks


class LogReader:
    """`readers` is where pages are read; `database` is asked what has moved."""

    def __init__(self, database: Database, readers: Runs) -> None:
        self._database = database
        self._reads = readers
        self._readers = 0
        self._followers: dict[uuid.UUID, set[asyncio.Event]] = {}  # by job; bounded as readers are
        self._followed = asyncio.Event()

    async def run(self) -> None:
        """Wakes the followers of jobs that have moved; all of them while the database is in
        trouble, so that they hear of it by themselves."""
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
        """The job's log or state has moved."""
        for moved in self._followers.get(job_id, ()):
            moved.set()

    async def read(self, job_id: uuid.UUID, cursor: str, *, follow: bool) -> AsyncIterator[Page]:
        """Pages from the cursor on; with follow until the job is final and all is sent, then the
        job.

        The state is read before the page that finds nothing more: no final state is written before
        the log's tail (rule 5). Whoever takes a page empties its list, so that it is not kept here
        meanwhile."""
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
                    yield Page(chunks, f"{lease}.{seq}", None)
                if not follow:
                    yield Page([], f"{lease}.{seq}", None)
                    return
                if progress.state in FINAL:
                    job = await self._reads.run(lambda conn: jobs.get(conn, job_id))
                    yield Page([], f"{lease}.{seq}", job)
                    return
                await moved.wait()
        finally:
            self._leave(job_id, moved)

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
    """ "lease.seq" of the last chunk that was read; empty: before the first."""
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
