"""Logs in: chunks are committed in batches and then acknowledged. Readers are told of them
(flow/log_reader.py) and slow nothing here."""

import itertools
import uuid
from collections.abc import Callable, Sequence

import psycopg
from loguru import logger

from hodei.domain.errors import Invalid, Unavailable
from hodei.fleet.messages import LogAck, Refused
from hodei.fleet.regain import regain
from hodei.fleet.stream import WorkerStream
from hodei.flow.batcher import Batcher
from hodei.flow.log_batches import LogBatches
from hodei.flow.set_aside import set_aside_lease
from hodei.store import job_logs, sqlstate
from hodei.store.database import Database
from hodei.store.job_logs import Chunk, Stored
from hodei.store.leases import Claimant

FLUSH_BYTES = 8 << 20
"""Log bytes of one statement; further chunks wait for the next one."""

ACTOR = "system:log_keeper"


class LogIntake:
    """Takes chunks from all streams of this server. Those that wait are bounded by the workers'
    windows: 2 MiB of each job, unacknowledged."""

    def __init__(self, database: Database, wrote: Callable[[uuid.UUID], None]) -> None:
        """`wrote` is called with the id of each job whose log has grown."""
        self._database = database
        self._wrote = wrote
        self._batches: Batcher[list[Chunk], dict[Claimant, Stored]] = Batcher(
            LogBatches(database).store,
            most=1000,
            most_bytes=FLUSH_BYTES,
            waiting=1000,
            patient=True,
            lock_wait_s=10.0,
        )

    async def run(self) -> None:
        """Stores chunks, for ever."""
        await self._batches.run()

    async def append(self, stream: WorkerStream, chunks: Sequence[Chunk]) -> None:
        """Stores one frame's chunks, and then sends an acknowledgement for each lease.

        Invalid: chunks of a lease do not follow each other, or some before them are missing.
        Unavailable: a row stayed locked. The stream ends by either, and its worker says them again.
        """
        stale = await self._append(stream, _by_lease(chunks))
        jobs = [stream.held[group[0].lease] for group in stale if group[0].lease in stream.held]
        if await regain(self._database, jobs):
            stale = await self._append(stream, stale)
        self._refuse(stream, [group[0].lease for group in stale])

    async def _append(
        self, stream: WorkerStream, groups: Sequence[list[Chunk]]
    ) -> list[list[Chunk]]:
        """Stores and acknowledges the chunks of each lease, and returns those whose lease does not
        hold."""
        size = sum(len(chunk.data) for group in groups for chunk in group)
        stale: list[list[Chunk]] = []
        for group, answer in zip(groups, await self._batches.submit_all(groups, size), strict=True):
            claimant = Claimant(group[0].lease, stream.worker_id)
            if isinstance(answer, Unavailable):
                raise answer
            if isinstance(answer, Exception):  # PostgreSQL refuses to store this log
                await set_aside_lease(self._database, claimant, answer, ACTOR)
                stale.append(group)
            elif stored := answer.get(claimant):
                self._acknowledge(stream, group, stored)
            else:
                stale.append(group)
        return stale

    def _acknowledge(self, stream: WorkerStream, group: list[Chunk], stored: Stored) -> None:
        """Invalid: chunks are missing. The lease's result may be behind them, so nothing more is
        taken from this stream."""
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

    async def append_late(
        self, stream: WorkerStream, job_id: uuid.UUID, chunks: Sequence[Chunk]
    ) -> None:
        """Keeps chunks of a refused lease for the record. They are acknowledged also when there is
        no job any more to keep them under."""
        try:
            await self._database.run(lambda conn: job_logs.append_late(conn, job_id, chunks))
        except psycopg.Error as error:
            logger.bind(component="LogKeeper", job_id=job_id).error(
                "its late log cannot be kept: {}", sqlstate.primary(error)
            )
        for lease, next_seq in {chunk.lease: chunk.seq + 1 for chunk in chunks}.items():
            stream.send(LogAck(lease, next_seq))


def _by_lease(chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    """The chunks of each lease. Invalid: they do not follow each other."""
    groups: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        groups.setdefault(chunk.lease, []).append(chunk)
    for lease, group in groups.items():
        if any(after.seq != before.seq + 1 for before, after in itertools.pairwise(group)):
            raise Invalid(f"log chunks of lease {lease} do not follow each other")
    return list(groups.values())
