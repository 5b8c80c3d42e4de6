"""Logs in and out: chunks are committed in batches and then acknowledged; readers read committed pages by cursor.

A reader never slows a writer: it polls and is woken, and nothing is kept for it in memory.
"""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from loguru import logger

from hodei.domain.errors import Invalid, NotFound
from hodei.domain.job import FINAL
from hodei.fleet.presence import LogAck, Refused, WorkerStream
from hodei.flow.batcher import Batcher
from hodei.store import job_logs, jobs
from hodei.store.database import Database
from hodei.store.job_logs import Chunk, StoredChunk
from hodei.store.jobs import Job

FLUSH_BYTES = 8 << 20
"""Log bytes of one statement; what is beyond waits for the next."""

TAIL_EVERY_S = 0.2
"""Poll of a follower whose job writes through another server; through this one it is woken at once."""


class LogKeeper:
    """Takes chunks from all streams of this server. What waits is bounded by the workers' windows (2 MiB a job, unacknowledged)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches: Batcher[list[Chunk], dict[int, tuple[int, uuid.UUID]]] = Batcher(
            self._flush, most=1000, most_bytes=FLUSH_BYTES, waiting=1000, patient=True
        )
        self._followers: dict[uuid.UUID, set[asyncio.Event]] = {}  # by job; woken when it writes through this server

    async def run(self) -> None:
        await self._batches.run()

    async def append(self, stream: WorkerStream, chunks: list[Chunk]) -> None:
        """All of one frame's chunks: one acknowledgement for each lease, after commit."""
        by_lease: dict[int, list[Chunk]] = {}
        for chunk in chunks:
            by_lease.setdefault(chunk.lease, []).append(chunk)
        for lease, group in by_lease.items():
            if any(after.seq != before.seq + 1 for before, after in itertools.pairwise(group)):
                raise Invalid(f"log chunks of lease {lease} do not follow each other")
        answer = await self._batches.submit(chunks, sum(len(chunk.data) for chunk in chunks))
        for lease in by_lease:
            if lease in answer:
                next_seq, job_id = answer[lease]
                if next_seq <= by_lease[lease][-1].seq:  # its result may be behind it: nothing more is taken from this stream
                    raise Invalid(f"log chunks of lease {lease} have a gap: expected {next_seq}, got {by_lease[lease][0].seq}")
                stream.send(LogAck(lease, next_seq))
                for written in self._followers.get(job_id, ()):
                    written.set()
            else:
                stream.send(Refused(lease, "log of a lease that no longer holds"))
                logger.bind(component="LogKeeper", worker_id=stream.worker_id).info("LogBatch of stale lease {} refused", lease)

    async def append_late(self, stream: WorkerStream, job_id: uuid.UUID, chunks: list[Chunk]) -> None:
        """Of a lease that was refused: kept for the record. Acknowledged also when there is no job any more to keep it under."""
        await self._database.run(lambda conn: job_logs.append_late(conn, job_id, chunks))
        for lease, next_seq in {chunk.lease: chunk.seq + 1 for chunk in chunks}.items():
            stream.send(LogAck(lease, next_seq))

    async def _flush(self, batches: list[list[Chunk]]) -> list[dict[int, tuple[int, uuid.UUID]]]:
        """Chunks of a lease that arrived in several frames are in order and without gaps here too: one stream feeds them."""
        chunks = [chunk for batch in batches for chunk in batch]
        seen: set[tuple[int, int]] = set()
        unique = [c for c in chunks if (c.lease, c.seq) not in seen and not seen.add((c.lease, c.seq))]  # type: ignore[func-returns-value]
        answer = await self._database.run(lambda conn: job_logs.append(conn, unique))
        logger.bind(component="LogKeeper").debug("LogBatch of {} chunks stored", len(unique))
        return [answer] * len(batches)

    async def read(self, job_id: uuid.UUID, cursor: str, *, follow: bool) -> AsyncIterator[tuple[list[StoredChunk], str, Job | None]]:
        """Pages of (chunks, cursor to resume at, None); with follow it goes on until the job is final and all is sent, then (…, job).

        The state is read before the page that finds nothing more: no final state is written before the log's tail (R5).
        """
        lease, seq = parse_cursor(cursor)
        written = asyncio.Event()
        if follow:
            self._followers.setdefault(job_id, set()).add(written)
        try:
            while True:
                written.clear()
                job = await self._database.run(lambda conn: jobs.get(conn, job_id))
                if job is None:
                    raise NotFound(f"no job {job_id}")
                born = job.created_at
                while page := await self._database.run(lambda conn: job_logs.read(conn, job_id, born, lease, seq)):  # noqa: B023
                    lease, seq = page[-1].lease, page[-1].seq
                    yield page, f"{lease}.{seq}", None
                if not follow or job.state in FINAL:
                    yield [], f"{lease}.{seq}", job
                    return
                try:
                    async with asyncio.timeout(TAIL_EVERY_S):
                        await written.wait()
                except TimeoutError:
                    continue
        finally:
            if follow:
                self._followers[job_id].discard(written)
                if not self._followers[job_id]:
                    del self._followers[job_id]


def parse_cursor(cursor: str) -> tuple[int, int]:
    """ "lease.seq" of the last chunk that was read; empty: before the first."""
    if not cursor:
        return 0, -1
    lease, _, seq = cursor.partition(".")
    try:
        return int(lease), int(seq)
    except ValueError:
        raise Invalid(f"cursor: expected the cursor of an earlier answer, got {cursor[:80]!r}") from None


def from_unix_us(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
