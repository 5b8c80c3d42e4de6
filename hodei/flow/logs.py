"""Logs in: chunks are committed in batches and then acknowledged. Readers are told
(flow/log_reader.py), and slow nobody here."""

import itertools
import uuid
from collections.abc import Callable

import psycopg
from loguru import logger

from hodei.domain.errors import Invalid, Locked, Unavailable
from hodei.fleet.presence import LogAck, Refused, WorkerStream
from hodei.flow.batcher import Batcher
from hodei.flow.set_aside import set_aside
from hodei.store import job_logs, leases, sqlstate
from hodei.store.database import Database
from hodei.store.job_logs import Chunk, Stored
from hodei.store.leases import Claimant

FLUSH_BYTES = 8 << 20
"""Log bytes of one statement; what is beyond waits for the next."""


class LogKeeper:
    """Takes chunks from all streams of this server. What waits is bounded by the workers' windows
    (2 MiB a job, unacknowledged)."""

    def __init__(self, database: Database, wrote: Callable[[uuid.UUID], None]) -> None:
        """`wrote` is told of each job whose log has grown."""
        self._database = database
        self._wrote = wrote
        self._batches: Batcher[list[Chunk], dict[Claimant, Stored]] = Batcher(
            self._flush,
            most=1000,
            most_bytes=FLUSH_BYTES,
            waiting=1000,
            patient=True,
            lock_wait_s=10.0,
        )

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
        for group, answer in zip(
            groups, await self._batches.submit_all(groups, sizes), strict=True
        ):
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
        """Acknowledges. Invalid: chunks are missing; the lease's result may be behind them, so
        nothing more is taken from this stream."""
        lease = group[0].lease
        if stored.next_seq <= group[-1].seq:
            raise Invalid(
                f"log chunks of lease {lease} have a gap: expected {stored.next_seq}, got {group[0].seq}"
            )
        stream.send(LogAck(lease, stored.next_seq))
        self._wrote(stored.job_id)

    def _refuse(self, stream: WorkerStream, stale: list[int]) -> None:
        for lease in stale:
            stream.send(Refused(lease, "log of a lease that no longer holds"))
        if stale:
            log = logger.bind(component="LogKeeper", worker_id=stream.worker_id)
            log.info(
                "LogBatch refused: {} leases do not hold, the first is {}", len(stale), stale[0]
            )

    async def _set_aside(self, said: Claimant, error: Exception) -> None:
        """A log that PostgreSQL refuses to store ends its job."""
        jobs_of = await self._database.run(lambda conn: leases.jobs_of(conn, [said]))
        await set_aside(self._database, jobs_of, error, "system:log_keeper")

    async def append_late(
        self, stream: WorkerStream, job_id: uuid.UUID, chunks: list[Chunk]
    ) -> None:
        """Of a lease that was refused: kept for the record. Acknowledged also when there is no job
        any more to keep it under."""
        try:
            await self._database.run(lambda conn: job_logs.append_late(conn, job_id, chunks))
        except psycopg.Error as error:
            logger.bind(component="LogKeeper", job_id=job_id).error(
                "its late log cannot be kept: {}", sqlstate.primary(error)
            )
        for lease, next_seq in {chunk.lease: chunk.seq + 1 for chunk in chunks}.items():
            stream.send(LogAck(lease, next_seq))

    async def _flush(self, groups: list[list[Chunk]]) -> list[dict[Claimant, Stored] | Exception]:
        """Each group is of one lease. Chunks of a lease that arrived in several frames are in order
        and without gaps here too: one stream feeds them."""
        try:
            return await self._append(groups)
        except Locked as error:
            locked = await self._database.run(
                lambda conn: leases.locked(conn, [group[0].lease for group in groups])
            )
            if not locked:
                raise
            free = iter(
                await self._append([group for group in groups if group[0].lease not in locked])
            )
            return [error if group[0].lease in locked else next(free) for group in groups]

    async def _append(self, groups: list[list[Chunk]]) -> list[dict[Claimant, Stored] | Exception]:
        unique = {(c.lease, c.worker_id, c.seq): c for group in groups for c in group}
        answer = (
            await self._database.run(lambda conn: job_logs.append(conn, list(unique.values())))
            if unique
            else {}
        )
        logger.bind(component="LogKeeper").debug("LogBatch of {} chunks stored", len(unique))
        return [answer] * len(groups)
