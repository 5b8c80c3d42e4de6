"""Logs in and out: chunks are committed in batches and then acknowledged; readers read committed pages by cursor.

A reader never slows a writer: it polls and is woken, and nothing is kept for it in memory.
"""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator

import psycopg
from loguru import logger

from hodei.domain.errors import Invalid, Locked, NotFound, Unavailable
from hodei.domain.job import FINAL
from hodei.fleet.presence import LogAck, Refused, WorkerStream
from hodei.flow.batcher import Batcher
from hodei.flow.set_aside import set_aside
from hodei.store import job_logs, jobs, leases, sqlstate
from hodei.store.database import Database
from hodei.store.job_logs import Chunk, Stored, StoredChunk
from hodei.store.jobs import Job
from hodei.store.leases import Claimant

FLUSH_BYTES = 8 << 20
"""Log bytes of one statement; what is beyond waits for the next."""

TAIL_EVERY_S = 0.2
"""Poll of a follower whose job writes through another server; through this one it is woken at once."""


class LogKeeper:
    """Takes chunks from all streams of this server. What waits is bounded by the workers' windows (2 MiB a job, unacknowledged)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches: Batcher[list[Chunk], dict[Claimant, Stored]] = Batcher(
            self._flush, most=1000, most_bytes=FLUSH_BYTES, waiting=1000, patient=True, lock_wait_s=10.0
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
        groups = list(by_lease.values())
        sizes = sum(len(chunk.data) for chunk in chunks)
        stale: list[int] = []
        for group, answer in zip(groups, await self._batches.submit_all(groups, sizes), strict=True):
            said = Claimant(group[0].lease, stream.worker_id)
            if isinstance(answer, Unavailable):
                raise answer
            if isinstance(answer, Exception):
                await self._set_aside(said, answer)
                stale.append(said.lease)
            elif stored := answer.get(said):
                self._stored(stream, group, stored)
            else:
                stale.append(said.lease)
        self._refuse(stream, stale)

    def _stored(self, stream: WorkerStream, group: list[Chunk], stored: Stored) -> None:
        """Acknowledges. Invalid: chunks are missing; the lease's result may be behind them, so nothing more is taken from this stream."""
        lease = group[0].lease
        if stored.next_seq <= group[-1].seq:
            raise Invalid(f"log chunks of lease {lease} have a gap: expected {stored.next_seq}, got {group[0].seq}")
        stream.send(LogAck(lease, stored.next_seq))
        for written in self._followers.get(stored.job_id, ()):
            written.set()

    def _refuse(self, stream: WorkerStream, stale: list[int]) -> None:
        for lease in stale:
            stream.send(Refused(lease, "log of a lease that no longer holds"))
        if stale:
            log = logger.bind(component="LogKeeper", worker_id=stream.worker_id)
            log.info("LogBatch refused: {} leases do not hold, the first is {}", len(stale), stale[0])

    async def _set_aside(self, said: Claimant, error: Exception) -> None:
        """A log that PostgreSQL refuses to store ends its job."""
        jobs_of = await self._database.run(lambda conn: leases.jobs_of(conn, [said]))
        await set_aside(self._database, jobs_of, error, "system:log_keeper")

    async def append_late(self, stream: WorkerStream, job_id: uuid.UUID, chunks: list[Chunk]) -> None:
        """Of a lease that was refused: kept for the record. Acknowledged also when there is no job any more to keep it under."""
        try:
            await self._database.run(lambda conn: job_logs.append_late(conn, job_id, chunks))
        except psycopg.Error as error:
            logger.bind(component="LogKeeper", job_id=job_id).error("its late log cannot be kept: {}", sqlstate.primary(error))
        for lease, next_seq in {chunk.lease: chunk.seq + 1 for chunk in chunks}.items():
            stream.send(LogAck(lease, next_seq))

    async def _flush(self, groups: list[list[Chunk]]) -> list[dict[Claimant, Stored] | Exception]:
        """Each group is of one lease. Chunks of a lease that arrived in several frames are in order and without gaps here too: one stream
        feeds them."""
        try:
            return await self._append(groups)
        except Locked as error:
            locked = await self._database.run(lambda conn: leases.locked(conn, [group[0].lease for group in groups]))
            if not locked:
                raise
            free = iter(await self._append([group for group in groups if group[0].lease not in locked]))
            return [error if group[0].lease in locked else next(free) for group in groups]

    async def _append(self, groups: list[list[Chunk]]) -> list[dict[Claimant, Stored] | Exception]:
        unique = {(c.lease, c.worker_id, c.seq): c for group in groups for c in group}
        answer = await self._database.run(lambda conn: job_logs.append(conn, list(unique.values()))) if unique else {}
        logger.bind(component="LogKeeper").debug("LogBatch of {} chunks stored", len(unique))
        return [answer] * len(groups)

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
