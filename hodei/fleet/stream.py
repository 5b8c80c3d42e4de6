"""One connected worker as this server sees it: which leases it holds, how many more offers it may
get, and the messages that wait to be written to it.

All of it is in memory and on one event loop. Failure: when the server dies nothing of it is missed,
as the worker connects to another server and says what it holds."""

import asyncio
import uuid
from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

from hodei.fleet.ahead import RECALL_AFTER_S, OffersAhead
from hodei.fleet.messages import Message, Recall
from hodei.fleet.reach import Address
from hodei.store.claims import Offer

MOST_MESSAGES = 50_000
"""Messages that wait to be written to one worker. When there are more, the worker does not read:
its stream is closed, and it comes back with what it holds."""


REST_S, MOST_REST_S = 1.0, 30.0
"""Seconds without offers for a worker that gives back what nobody asked for, or does not take what it
has; doubled each time up to the latter. Else one worker could write twenty thousand events a second,
or have each job in its turn."""

UNTAKEN_S = 10.0
"""Seconds after which an offer that has a slot should have been accepted."""


class Kind(NamedTuple):
    """What decides which jobs a worker may be offered. Workers of one kind are alike to a claim."""

    labels: tuple[tuple[str, str], ...]  # sorted
    projects: tuple[str, ...]  # sorted; empty: jobs of all projects


class WorkerStream:
    """The stream of one worker. Its reader and writer (hodei/rpc), the dispatcher and the sweeps
    use it, all on the event loop of the server."""

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
        can_stay: bool = False,
        addresses: Sequence[Address] = (),
        projects: Sequence[str] = (),
    ) -> None:
        """`draining`: an operator has drained the worker. `can_recall`: it understands Recall.
        `can_stay`: it understands CutOff. `projects`: it takes jobs of these alone; empty: of all."""
        self.worker_id = worker_id
        self.session = session
        self.slots = slots
        self.labels = labels
        self.kind = Kind(tuple(sorted(labels.items())), tuple(sorted(set(projects))))
        self.name = name
        self.addresses = addresses
        self.can_stay = can_stay
        self.cut_off = False  # the worker was told that this server cannot reach the database
        self.drained_by_operator = draining
        self.drained_by_worker = False
        # The job of each lease that is offered or runs; the result takes it out.
        self.held: dict[int, uuid.UUID] = {}
        # The loop time of each offer that the worker has not accepted, the oldest first.
        self.offered_at: dict[int, float] = {}
        # Leases of which an accept or a result has come and is still to be stored.
        self.reported: set[int] = set()
        # What its worker has sent waits for room here, and its heartbeats wait behind that.
        self.held_back = False
        self.ahead = OffersAhead(slots, able=can_recall)
        self.closed = asyncio.Event()
        self.why_closed = ""
        self.next_credential = (
            b""  # the hash of the secret that the worker announced, once committed
        )
        self.at_fault = False  # the stream was closed for what its worker sent
        self._loop_time = asyncio.get_running_loop().time
        self._asked_back: set[int] = set()  # offers that were recalled and not given back yet
        self._rest_s = self._rests_until = 0.0
        self._outbox: deque[Message] = deque()
        self._has_messages = asyncio.Event()

    @property
    def _takes_offers(self) -> bool:
        if self.drained_by_operator or self.drained_by_worker or self.closed.is_set():
            return False
        return self._loop_time() >= self._rests_until

    @property
    def free_slots(self) -> int:
        """Slots for which the worker has no offer yet; 0 while it drains."""
        return max(0, self.slots - len(self.held)) if self._takes_offers else 0

    @property
    def room(self) -> int:
        """Returns how many offers the worker may get now, those beyond its slots included.

        While its slots are taken it waits until half of what may be sent ahead is used up: small
        claims cost more.
        """
        if not self._takes_offers:
            return 0
        ahead = self.ahead.offers
        room = self.slots + ahead - len(self.held)
        return 0 if room < ahead // 2 and len(self.held) >= self.slots else max(0, room)

    def forget_lease(self, lease: int) -> None:
        """Frees the lease's slot: it has ended, or was rejected, refused or taken back."""
        self.held.pop(lease, None)
        self.offered_at.pop(lease, None)
        self._asked_back.discard(lease)

    def recall_late_offers(self) -> None:
        """Asks all unaccepted offers back once the oldest has waited RECALL_AFTER_S behind busy
        slots.

        Those that came after it go back too: else they would run before what was submitted earlier.
        """
        now = self._loop_time()
        oldest = next(iter(self.offered_at.values()), now)
        if now - oldest > UNTAKEN_S:
            self._rest()
        if now - oldest > RECALL_AFTER_S and len(self.held) > self.slots:
            self.ahead.record_stall()
            self._asked_back.update(self.offered_at)
            self.send(Recall(list(self.offered_at)))

    def take_back(self, leases: Collection[int]) -> None:
        """The worker has given these offers back. One that it was not asked for makes it rest."""
        if not self._asked_back.issuperset(leases):
            self._rest()
        for lease in leases:
            self.forget_lease(lease)

    def _rest(self) -> None:
        self._rest_s = min(MOST_REST_S, max(REST_S, 2 * self._rest_s))
        self._rests_until = self._loop_time() + self._rest_s

    def on_report(self, leases: Collection[int]) -> None:
        """Accepts or results of these have come, and are still to be stored: they wait for no slot."""
        self.reported.update(leases)
        for lease in leases:
            self.offered_at.pop(lease, None)

    def on_accept(self, lease: int) -> None:
        """A slot took the job."""
        self.offered_at.pop(lease, None)
        self._asked_back.discard(lease)
        self._rest_s = 0.0

    def send(self, message: Message) -> None:
        """Puts a message into the outbox; closes the stream when MOST_MESSAGES wait there."""
        if len(self._outbox) >= MOST_MESSAGES:
            self.close("does not read its stream")
            return
        self._outbox.append(message)
        self._has_messages.set()

    def offer(self, offer: Offer) -> None:
        """Sends an offer whose claim is committed."""
        self.held[offer.lease] = offer.job_id
        self.offered_at[offer.lease] = self._loop_time()
        self.send(offer)

    def close(self, why: str, *, fault: bool = False) -> None:
        """Ends the stream. `fault`: for what its worker sent, which is told as INVALID_ARGUMENT."""
        if not self.closed.is_set():
            self.why_closed, self.at_fault = why, fault
        self.closed.set()

    async def wait_for_messages(self) -> list[Message]:
        """Waits until there are messages, and takes all of them out of the outbox."""
        await self._has_messages.wait()
        self._has_messages.clear()
        messages = list(self._outbox)
        self._outbox.clear()
        return messages
