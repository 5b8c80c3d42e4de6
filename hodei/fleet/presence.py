"""The workers whose streams this server holds: what is said to them, what they hold, and their
heartbeats, flushed together each second.

In memory only, and none of it is missed when the server dies: the workers reconnect elsewhere and
say what they hold."""

import asyncio
import functools
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from loguru import logger

from hodei.domain.errors import Locked
from hodei.domain.timing import ACCEPT_WITHIN_S
from hodei.fleet.prefetch import RECALL_AFTER_S, Prefetch
from hodei.fleet.reach import Address
from hodei.store import halves, leases, sessions, sqlstate, stray_leases
from hodei.store.claims import Offer
from hodei.store.database import TROUBLE, Connection, Database


class Cancel(NamedTuple):
    lease: int
    reason: str
    message: str


class LogAck(NamedTuple):
    lease: int
    next_seq: int


class ResultAck(NamedTuple):
    leases: list[int]


class Refused(NamedTuple):
    """The lease no longer holds: kill, forget."""

    lease: int
    why: str


class Recall(NamedTuple):
    """Offers that wait behind a busy slot: give back what has not started."""

    leases: list[int]


class Drain(NamedTuple):
    on: bool


class GoAway(NamedTuple):
    reconnect_after_s: float
    why: str


class Beat(NamedTuple):
    """The server's own heartbeat, so that the worker finds a half-open stream."""


Message = Offer | Cancel | LogAck | ResultAck | Refused | Recall | Drain | GoAway | Beat

OUTBOX_BOUND = 50_000
"""Messages not yet written to one worker. Full means that it does not read: its stream is closed,
and it comes back with what it holds."""


FLUSH_TIMEOUT_S = 5.0

ISOLATED_AFTER_S = 10.0
"""Without heartbeats stored; with the driver's 10 s for a connection that hangs, its workers are
elsewhere before they count as silent."""


class WorkerStream:
    """One connected worker, as this server sees it. Only its own stream's tasks and the dispatcher
    touch it, all on one loop."""

    def __init__(
        self,
        worker_id: uuid.UUID,
        session: int,
        slots: int,
        labels: dict[str, str],
        *,
        draining: bool,
        name: str = "",
        can_recall: bool = False,
        addresses: Sequence[Address] = (),
    ) -> None:
        self.worker_id = worker_id
        self.session = session
        self.slots = slots
        self.labels = labels
        self.label_key = tuple(sorted(labels.items()))
        self.name = name
        self.addresses = addresses
        self.drained_by_operator = draining
        self.drained_by_worker = False
        self.held: dict[
            int, uuid.UUID
        ] = {}  # lease → job: offered or running; out when its result arrives
        self.waiting: dict[
            int, float
        ] = {}  # lease → loop time of its offer, until the worker accepts it; oldest first
        self.prefetch = Prefetch(slots, able=can_recall)
        self.closed: asyncio.Event = asyncio.Event()
        self.why_closed = ""
        self.at_fault = False  # it is closed for what it sent
        self._outbox: deque[Message] = deque()
        self._wake = asyncio.Event()

    @property
    def free_slots(self) -> int:
        if self.drained_by_operator or self.drained_by_worker or self.closed.is_set():
            return 0
        return max(0, self.slots - len(self.held))

    @property
    def credit(self) -> int:
        """How many offers it may get now. While its slots are taken it waits for half of what may
        be sent ahead: small claims cost more."""
        if self.drained_by_operator or self.drained_by_worker or self.closed.is_set():
            return 0
        ahead = self.prefetch.offers
        credit = self.slots + ahead - len(self.held)
        return 0 if credit < ahead // 2 and len(self.held) >= self.slots else max(0, credit)

    def let_go(self, lease: int) -> None:
        """It is no longer this worker's: ended, rejected, refused or taken back."""
        self.held.pop(lease, None)
        self.waiting.pop(lease, None)

    def recall_overdue(self) -> None:
        """Asks back what waits behind busy slots, once the first of it has waited too long.

        What came after it goes back too: else it would run before what was submitted earlier.
        """
        now = asyncio.get_running_loop().time()
        oldest = next(iter(self.waiting.values()), now)
        if now - oldest > RECALL_AFTER_S and len(self.held) > self.slots:
            self.prefetch.stalled()
            self.send(Recall(list(self.waiting)))

    def send(self, message: Message) -> None:
        if len(self._outbox) >= OUTBOX_BOUND:
            self.close("does not read its stream")
            return
        self._outbox.append(message)
        self._wake.set()

    def offer(self, offer: Offer) -> None:
        self.held[offer.lease] = offer.job_id
        self.waiting[offer.lease] = asyncio.get_running_loop().time()
        self.send(offer)

    def close(self, why: str, *, fault: bool = False) -> None:
        """Ends the stream; `fault`: for what its worker sent (INVALID_ARGUMENT)."""
        if not self.closed.is_set():
            self.why_closed, self.at_fault = why, fault
        self.closed.set()

    async def outgoing(self) -> list[Message]:
        """Waits for something to say, then takes all of it."""
        await self._wake.wait()
        self._wake.clear()
        messages = list(self._outbox)
        self._outbox.clear()
        return messages


class Pulse(NamedTuple):
    """A heartbeat as it came from the stream."""

    busy_slots: int
    draining: bool
    waiting: list[int]  # leases of offers that no slot has taken yet
    held: list[int]  # every lease that the worker lists
    live: list[int]  # of these, what waits or runs
    current_job_id: uuid.UUID | None


class Presence:
    """All streams of this server. `forgotten` collects leases that their workers no longer list,
    for the controller to end as lost."""

    def __init__(self, database: Database) -> None:
        self.server_id = (
            uuid.uuid4()
        )  # of this process: workers tell by it which servers they can get to
        self._database = database
        self._streams: dict[uuid.UUID, WorkerStream] = {}
        self._pulses: dict[uuid.UUID, tuple[WorkerStream, Pulse]] = {}
        self._first = 0  # whose turn it is to be the first
        self._stored_at = 0.0  # loop time of the last heartbeats that reached the database
        self.forgotten: asyncio.Queue[leases.Claimant] = asyncio.Queue(
            10_000
        )  # full: the next heartbeat names them again

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[WorkerStream]:
        return iter(list(self._streams.values()))

    def get(self, worker_id: uuid.UUID) -> WorkerStream | None:
        return self._streams.get(worker_id)

    def add(self, stream: WorkerStream) -> None:
        if before := self._streams.get(stream.worker_id):
            before.close("superseded by a newer stream of the same worker")
        self._streams[stream.worker_id] = stream

    def remove(self, stream: WorkerStream) -> None:
        if self._streams.get(stream.worker_id) is stream:
            del self._streams[stream.worker_id]
        self._pulses.pop(stream.worker_id, None)

    def credits(self, most: int) -> list[tuple[dict[str, str], list[uuid.UUID]]]:
        """For each set of labels, `most` at most: a worker's id for every offer it may get, free
        slots before what is sent ahead, the workers in turns, another one first each time."""
        self._first += 1
        groups: dict[tuple[tuple[str, str], ...], list[tuple[WorkerStream, int]]] = {}
        for stream in self._streams.values():
            if credit := stream.credit:
                groups.setdefault(stream.label_key, []).append((stream, credit))
        return [
            (dict(labels), _in_turns(streams, self._first, most))
            for labels, streams in groups.items()
        ]

    def pulse(self, stream: WorkerStream, pulse: Pulse) -> None:
        stream.drained_by_worker = pulse.draining
        self._pulses[stream.worker_id] = (stream, pulse)

    async def run(self) -> None:
        """Flushes heartbeats once a second; while the database is away they are kept, the newest of
        each worker."""
        loop = asyncio.get_running_loop()
        self._stored_at = loop.time()
        while True:
            await asyncio.sleep(1.0)
            for stream in self:
                stream.recall_overdue()
            pulses, self._pulses = self._pulses, {}
            try:
                await self._store(pulses)
                self._stored_at = loop.time()
            except TROUBLE as error:
                self._pulses = pulses | self._pulses
                logger.bind(component="WorkerMonitor").warning(
                    "heartbeats wait: {}", sqlstate.primary(error)
                )
                if loop.time() - self._stored_at > ISOLATED_AFTER_S:
                    self._let_go()

    async def _store(self, pulses: dict[uuid.UUID, tuple[WorkerStream, Pulse]]) -> None:
        """A heartbeat that PostgreSQL refuses costs its own stream. One of a worker whose row is
        locked waits for the next."""
        beats = list(pulses.values())
        answers = await halves.each(
            beats,
            lambda some: self._database.run(
                functools.partial(_flush, some), timeout_s=FLUSH_TIMEOUT_S
            ),
        )
        for (stream, pulse), answer in zip(beats, answers, strict=True):
            if isinstance(answer, Locked):
                self._pulses.setdefault(stream.worker_id, (stream, pulse))
            elif isinstance(answer, Exception):
                stream.close(f"its heartbeat is refused: {sqlstate.primary(answer)}", fault=True)
            else:
                self._follow(stream, answer)

    def _follow(self, stream: WorkerStream, found: "Beaten") -> None:
        if not found.alive:
            stream.close("its session no longer speaks for it")
        for lease in found.unknown:
            stream.send(Refused(lease, "the worker lists a lease that does not hold"))
        for lease in found.forgotten:
            if not self.forgotten.full():
                self.forgotten.put_nowait(leases.Claimant(lease, stream.worker_id))

    def _let_go(self) -> None:
        """This server is cut off from the database, others may not be: who stays with us would be
        given up as silent."""
        for stream in self:
            stream.close("this server cannot reach the database")


@dataclass
class Beaten:
    """What a heartbeat came to."""

    alive: bool  # its session still speaks for its worker
    unknown: list[int]  # leases that it listed and that are not this worker's
    forgotten: list[int]  # leases of this worker that it did not list, twice


async def _flush(beats: list[tuple[WorkerStream, Pulse]], conn: Connection) -> list[Beaten]:
    """One answer for each. What a worker lists counts for its own leases only."""
    said = [
        sessions.Heartbeat(s.worker_id, s.session, p.busy_slots, p.draining, p.current_job_id)
        for s, p in beats
    ]
    held = [leases.Claimant(lease, s.worker_id) for s, p in beats for lease in p.held]
    alive = await sessions.beat(conn, said, held)
    if waiting := [leases.Claimant(lease, s.worker_id) for s, p in beats for lease in p.waiting]:
        await leases.renew_offers(conn, waiting, ACCEPT_WITHIN_S)
    found = {s.worker_id: Beaten(s.worker_id in alive, [], []) for s, _ in beats}
    listed = [leases.Claimant(lease, s.worker_id) for s, p in beats for lease in p.live]
    for claimant in await stray_leases.unknown(conn, listed) if listed else []:
        found[claimant.worker_id].unknown.append(claimant.lease)
    astray = [worker_id for worker_id, missing in alive.items() if missing]
    for claimant in await stray_leases.forgotten(conn, astray, held) if astray else []:
        found[claimant.worker_id].forgotten.append(claimant.lease)
    return [found[s.worker_id] for s, _ in beats]


def _in_turns(streams: list[tuple[WorkerStream, int]], first: int, most: int) -> list[uuid.UUID]:
    first %= len(streams)
    free = [
        (stream.worker_id, min(credit, stream.free_slots))
        for stream, credit in streams[first:] + streams[:first]
    ]
    ahead = [
        (stream.worker_id, credit - min(credit, stream.free_slots))
        for stream, credit in streams[first:] + streams[:first]
    ]
    turns: list[uuid.UUID] = []
    for shares in (free, ahead):
        turn = 0
        while len(turns) < most and (
            having := [worker_id for worker_id, share in shares if share > turn]
        ):
            turns += having
            turn += 1
    return turns[:most]
