"""Workers' heartbeats: the newest of each worker is stored, all of them together once a second.

What the database answers is acted on here: a stream that no longer speaks for its worker is closed,
a lease that does not hold is refused, and a lease that its worker no longer lists is put into
`forgotten`, for flow/lost.py to end it."""

import asyncio
import functools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from loguru import logger

from hodei.domain.errors import Locked
from hodei.domain.timing import ACCEPT_WITHIN_S
from hodei.fleet.messages import CutOff, Refused
from hodei.fleet.presence import Presence
from hodei.fleet.regain import regain
from hodei.fleet.repeated import Repeated
from hodei.fleet.stream import WorkerStream
from hodei.store import halves, leases, sessions, sqlstate, stray_leases
from hodei.store.database import TROUBLE, Connection, Database
from hodei.store.leases import Claimant

FLUSH_TIMEOUT_S = 5.0

ISOLATED_AFTER_S = 10.0
"""Seconds without a stored heartbeat after which this server lets its workers go. With the 10 s
that the driver needs for a connection that hangs, they are at another server, if one serves, before
they count as silent."""

MOST_FORGOTTEN = 10_000
"""Leases in `forgotten`. When there are more, the next heartbeat names them again."""


class ReceivedHeartbeat(NamedTuple):
    """A heartbeat as it came from a stream."""

    busy_slots: int
    running: int  # leases of this stream that the worker lists as running
    draining: bool
    waiting: list[int]  # leases of offers that no slot has taken yet
    held: list[int]  # every lease that the worker lists
    live: list[int]  # those of them that wait or run
    current_job_id: uuid.UUID | None


class _Received(NamedTuple):
    stream: WorkerStream
    heartbeat: ReceivedHeartbeat

    def claimants(self, numbers: list[int]) -> list[Claimant]:
        """A worker's word counts for its own leases only."""
        return [Claimant(lease, self.stream.worker_id) for lease in numbers]

    def waiting_behind_others(self) -> list[Claimant]:
        """The offers that wait because every slot is taken. A worker with a free slot has no reason
        to let one wait: it lapses after ACCEPT_WITHIN_S. What says that a slot is taken is a lease
        that this server knows, not the number that the worker gives."""
        if self.heartbeat.running < self.stream.slots:
            return []
        return self.claimants(self.heartbeat.waiting)


@dataclass
class _Verdict:
    """The database's answer to one heartbeat."""

    speaks: bool  # the stream's session still speaks for its worker
    unknown: list[int] = field(default_factory=list)  # leases listed that are not this worker's
    forgotten: list[int] = field(default_factory=list)  # this worker's, missing in two heartbeats


class Heartbeats:
    """The heartbeats of all streams of this server. `slots_freed` is called when a worker that
    drained takes offers again."""

    def __init__(
        self, database: Database, presence: Presence, slots_freed: Callable[[], None]
    ) -> None:
        self._database = database
        self._presence = presence
        self._slots_freed = slots_freed
        self._newest: dict[uuid.UUID, _Received] = {}
        self._trouble = Repeated(logger.bind(component="WorkerMonitor").warning)
        self._stored_at = 0.0  # loop time of the last heartbeats that reached the database
        self.forgotten: asyncio.Queue[Claimant] = asyncio.Queue(MOST_FORGOTTEN)

    def receive(self, stream: WorkerStream, heartbeat: ReceivedHeartbeat) -> None:
        """Keeps a heartbeat for the next flush, in place of an older one of the same worker."""
        drained = stream.drained_by_worker
        stream.drained_by_worker = heartbeat.draining
        self._newest[stream.worker_id] = _Received(stream, heartbeat)
        if drained and not heartbeat.draining:
            self._slots_freed()

    async def run(self) -> None:
        """Stores heartbeats once a second, for ever. While the database is away the newest of each
        worker is kept."""
        loop = asyncio.get_running_loop()
        self._stored_at = loop.time()
        while True:
            await asyncio.sleep(1.0)
            self._presence.recall_late_offers()
            received, self._newest = self._newest, {}
            try:
                await self._store(received)
                await self._vouch()
                self._stored_at = loop.time()
                self._trouble.end()
                self._keep_workers()
            except TROUBLE as error:
                self._newest = received | self._newest
                self._trouble.meet(f"heartbeats wait: {sqlstate.primary(error)}")
                if loop.time() - self._stored_at > ISOLATED_AFTER_S:
                    self._let_workers_go()

    async def _store(self, received: dict[uuid.UUID, _Received]) -> None:
        """Stores the heartbeats of streams that are still open. One that PostgreSQL refuses costs
        its own stream; one of a worker whose row is locked is kept for the next flush."""
        together = [one for one in received.values() if self._is_open(one.stream)]
        answers = await halves.each(
            together,
            lambda some: self._database.run(
                functools.partial(_record, some), timeout_s=FLUSH_TIMEOUT_S
            ),
        )
        for one, answer in zip(together, answers, strict=True):
            if isinstance(answer, Locked):
                self._newest.setdefault(one.stream.worker_id, one)
            elif isinstance(answer, Exception):
                words = f"its heartbeat is refused: {sqlstate.primary(answer)}"
                one.stream.close(words, fault=True)
            else:
                await self._act_on(one.stream, answer)

    async def _vouch(self) -> None:
        """Speaks for workers whose heartbeats stand behind what waits for room here, as logs that the
        database does not take: others would take them for silent. That they live is seen by their
        streams, which gRPC ends if a peer does not answer its pings. A row that is locked or refused
        is tried again with the next look."""
        await halves.each(
            [stream for stream in self._presence if stream.held_back],
            lambda some: self._database.run(
                functools.partial(_speak_for, some), timeout_s=FLUSH_TIMEOUT_S
            ),
        )

    def _is_open(self, stream: WorkerStream) -> bool:
        return self._presence.get(stream.worker_id) is stream

    async def _act_on(self, stream: WorkerStream, verdict: _Verdict) -> None:
        if not verdict.speaks:
            stream.close("its session no longer speaks for it")
        jobs = [stream.held[lease] for lease in verdict.unknown if lease in stream.held]
        if jobs and await regain(self._database, jobs):
            verdict.unknown = []  # the next heartbeat tells which of them hold
        for lease in verdict.unknown:
            stream.send(Refused(lease, "the worker lists a lease that does not hold"))
        for lease in verdict.forgotten:
            if not self.forgotten.full():
                self.forgotten.put_nowait(Claimant(lease, stream.worker_id))

    def _let_workers_go(self) -> None:
        """This server is cut off from the database. Others may not be: workers that stayed here
        would be given up as silent by them. Where no other one serves either, leaving is of no use.
        """
        told = [stream for stream in self._presence if not stream.cut_off]
        for stream in told:
            stream.cut_off = True
            if stream.can_stay:
                stream.send(CutOff(on=True))
            else:
                stream.close("this server cannot reach the database")
        if told:
            logger.bind(component="WorkerMonitor").warning(
                "this server cannot reach the database: {} workers are to look for another one",
                len(told),
            )

    def _keep_workers(self) -> None:
        """This server reaches the database, perhaps again."""
        for stream in self._presence:
            if stream.cut_off:
                stream.cut_off = False
                stream.send(CutOff(on=False))


async def _record(received: list[_Received], conn: Connection) -> list[_Verdict]:
    """Stores heartbeats, renews the offers that wait for a slot or whose accepts wait to be stored, and
    looks for leases on which worker and database differ. Returns a verdict for each, in order."""
    rows = [
        sessions.Heartbeat(s.worker_id, s.session, h.busy_slots, h.draining, h.current_job_id)
        for s, h in received
    ]
    held = [claimant for one in received for claimant in one.claimants(one.heartbeat.held)]
    speaking = await sessions.beat(conn, rows, held)
    if waiting := [c for one in received for c in one.waiting_behind_others()]:
        await leases.renew_offers(conn, waiting, ACCEPT_WITHIN_S)
    await _keep_reported(conn, [one.stream for one in received])
    verdicts = {row.worker_id: _Verdict(row.worker_id in speaking) for row in rows}
    listed = [claimant for one in received for claimant in one.claimants(one.heartbeat.live)]
    for claimant in await stray_leases.unknown(conn, listed) if listed else []:
        verdicts[claimant.worker_id].unknown.append(claimant.lease)
    astray = [worker_id for worker_id, missing in speaking.items() if missing]
    for claimant in await stray_leases.forgotten(conn, astray, held) if astray else []:
        verdicts[claimant.worker_id].forgotten.append(claimant.lease)
    return [verdicts[row.worker_id] for row in rows]


async def _speak_for(streams: list[WorkerStream], conn: Connection) -> list[None]:
    await sessions.vouch(conn, [(one.worker_id, one.session) for one in streams])
    await _keep_reported(conn, streams)
    return [None] * len(streams)


async def _keep_reported(conn: Connection, streams: list[WorkerStream]) -> None:
    """Renews offers whose accepts wait to be stored: taken back, those jobs would run twice."""
    reported = [Claimant(lease, one.worker_id) for one in streams for lease in one.reported]
    if reported:
        await leases.renew_offers(conn, reported, ACCEPT_WITHIN_S, leases.WITHOUT_END_S)
