"""The dispatcher gives work out: it claims ready jobs for the free slots of this server's workers
and offers them.

A claim is committed before anything is sent. Failure: if this process dies between the two, the
offer lapses and the job returns to the queue. A wake-up (a notification, a freed slot, a create
here) is a hint; the sweeps' look at the queue each second is the truth."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

import psycopg
from loguru import logger

from hodei.domain.errors import Locked, Unavailable
from hodei.domain.job import Creation
from hodei.domain.job_line import JobLine
from hodei.domain.text import words_of
from hodei.domain.timing import ACCEPT_WITHIN_S
from hodei.fleet.presence import Presence, Room
from hodei.fleet.repeated import Repeated
from hodei.fleet.stream import Kind
from hodei.flow import job_lines
from hodei.flow.detour import Detour
from hodei.flow.give_back import give_back
from hodei.flow.label_sets import LabelSets
from hodei.flow.queue_head import QueueHead
from hodei.flow.reminder import Reminder
from hodei.flow.secret_offers import SecretOffers, may_need_values
from hodei.flow.set_aside import set_aside
from hodei.secrets.keys import SecretKeys
from hodei.secrets.values import SecretReader
from hodei.store import claims, creation, halves, invariants, sqlstate
from hodei.store.claims import Claimed, ClaimRequest, Offer
from hodei.store.creation import PATIENCE, NewJob
from hodei.store.database import TROUBLE, Database
from hodei.store.leases import Claimant

CLAIM_AT_MOST = 200
"""Jobs of one claim: larger ones make slots wait for each other."""

REST = 3.0
"""After a claim that found less than it asked for the dispatcher rests 3 times as long as it took: a
busy machine claims more at a time, and an idle one is ready again after a few milliseconds."""

MOST_REST_S = 0.02

MOST_PAUSE_S = 10.0
"""Seconds between two looks at jobs that are ready and that nobody here can run, if nothing else
wakes the dispatcher. The first pause is a second, each further one twice as long."""

FEW = 8
"""Jobs of a create that takes a claim along. Where more come together, creates and claims overlap
on two connections."""

CREATE_S = 4.0
"""Seconds for which a create may run before it is run again in a way that tells why it takes so
long: that way costs each create a tenth more."""

MOST_HEADS = 1000
"""Kinds of workers whose place in the queue is remembered; when there are more, all are forgotten."""

ACTOR = "system:job_dispatcher"

Outcomes = Mapping[uuid.UUID, Creation | Locked]
"""What became of each job of a create, by its id."""

_log_of_creates = logger.bind(component="JobController")


class JobDispatcher:
    """Claims one at a time: a second claim would count on the same free slots."""

    def __init__(
        self,
        database: Database,
        presence: Presence,
        values: SecretReader | None = None,
        ended: Callable[[uuid.UUID], None] = lambda _: None,
    ) -> None:
        """`values`: of secrets. `ended` is called with the id of each job of which an attempt has
        ended here: its secret is gone."""
        self._database = database
        self._presence = presence
        self._wake = asyncio.Event()
        self._stopping = False
        self._claiming = False
        self._missed = False  # a wake-up came while a create had a claim along
        self._heads: dict[Kind, QueueHead] = {}
        self._label_sets = LabelSets(database)
        self._detour = Detour(database)
        values = values or SecretReader(database, SecretKeys())
        self._secret_offers = SecretOffers(database, values, self._detour, ended)
        self._reminder = Reminder(presence)
        self._claimed_before = 0  # as of the last look at the queue
        self.claimed = 0  # jobs, since the start
        self._pause_s = 0.0
        self._look_at = 0.0
        self._log = logger.bind(component="JobDispatcher")
        self._trouble = Repeated(self._log.warning)

    def wake(self) -> None:
        """Tells that there may be work, or a free slot."""
        self._wake.set()

    def stop_claiming(self) -> None:
        """Begins a stop: nothing new is claimed, and what is in flight goes on."""
        self._stopping = True

    # ── rounds of claims ──

    async def run(self) -> None:
        """Claims whenever it is woken, for ever. While the database is in trouble the sweeps' look
        wakes it again."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._claiming:
                self._missed = True  # the create that has a claim along will wake us
                continue
            begun = loop.time()
            try:
                with self._one_claim():
                    while not self._stopping and await self._round():
                        begun = loop.time()
                self._trouble.end()
            except TROUBLE as error:
                self._trouble.meet(f"cannot claim: {words_of(error)}")
            await asyncio.sleep(min(MOST_REST_S, REST * (loop.time() - begun)))

    async def _round(self) -> bool:
        """Makes one claim for each set of labels. True: it may be worth to ask again at once."""
        rooms, again = await self._label_sets.choose(self._presence.rooms(CLAIM_AT_MOST))
        fruitful = False
        for room in rooms:
            with self._presence.claim_under_way():
                offers = await self._claim(room)
                await self.send(offers)
            fruitful = fruitful or bool(offers)
            again = again or len(offers) == len(room.workers)
        return again and fruitful

    @contextlib.contextmanager
    def _one_claim(self) -> Iterator[None]:
        self._claiming = True
        try:
            yield
        finally:
            self._claiming = False

    async def _claim(self, room: Room) -> list[Offer]:
        loop = asyncio.get_running_loop()
        if len(self._heads) > MOST_HEADS:
            self._heads.clear()
        kind = Kind(tuple(sorted(room.labels.items())), room.projects)
        head = self._heads.setdefault(kind, QueueHead())
        request = ClaimRequest(
            room.workers,
            room.labels,
            head.begin(loop.time()),
            self._detour.avoided,
            projects=room.projects,
        )
        begun = loop.time()
        try:
            claimed = await self._database.run(
                lambda conn: claims.claim(conn, request, ACCEPT_WITHIN_S)
            )
        except (Locked, psycopg.Error) as error:
            return await self._detour.claim(request, error)
        if claimed.offers:
            self._detour.on_claimed()
        head.ended(request.beyond, claimed.last, loop.time(), loop.time() - begun)
        return claimed.offers

    # ── a create with its claim along ──

    async def create_and_dispatch(self, new: Sequence[NewJob]) -> Outcomes:
        """Creates jobs, and has them dispatched; Locked for those whose ids are locked.

        A few jobs take a claim along in the same transaction: on an idle system they are on their
        way to a worker at once. Of more jobs, or where no slot is free, `run` claims."""
        with self._claim_along(new) as request:
            if request:
                outcomes, claimed = await self._create_and_claim(new, request)
                job_lines.say(_log_of_creates, job_lines.of_creates(new, outcomes))
                await self.send(claimed.offers)
                if len(claimed.offers) < len(new):
                    self.wake()
                return outcomes
        outcomes = await self._create(new)
        job_lines.say(_log_of_creates, job_lines.of_creates(new, outcomes))
        self.wake()
        return outcomes

    async def _create(self, new: Sequence[NewJob]) -> Outcomes:
        """Creates jobs; where an id is locked, all others all the same. Locked: somebody's trigger
        does not come to its end for one of them."""
        if halves.after_a_slow_one.get():
            return await self._create_briefly(new)
        try:
            return await self._database.run(
                lambda conn: creation.create(conn, new, PATIENCE),
                timeout_s=CREATE_S,
                idempotent=True,
            )
        except Unavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                return await self._create_briefly(new)
            if not sqlstate.is_lock(error.__cause__):
                raise
            return await self._database.run(
                lambda conn: creation.create_unlocked(conn, new), idempotent=True
            )

    async def _create_briefly(self, new: Sequence[NewJob]) -> Outcomes:
        return await self._database.run(
            lambda conn: creation.create_briefly(conn, new), idempotent=True
        )

    @contextlib.contextmanager
    def _claim_along(self, new: Sequence[NewJob]) -> Iterator[ClaimRequest | None]:
        """The claim that a create of jobs takes along. None: they are more than FEW, no slot is free
        for the first of them, or another claim is under way."""
        request = None if self._claiming or self._stopping else self._request_for(new)
        if request is None:
            yield None
            return
        try:
            with self._one_claim(), self._presence.claim_under_way():
                yield request
        finally:
            if self._missed:
                self._missed = False
                self.wake()

    def _request_for(self, new: Sequence[NewJob]) -> ClaimRequest | None:
        if len(new) > FEW or any(head.wading for head in self._heads.values()):
            return None
        labels = new[0].spec.get("labels", {})
        for room in self._presence.rooms(len(new)):
            if room.takes(labels, new[0].project):
                return ClaimRequest(
                    room.workers, room.labels, avoid=self._detour.avoided, projects=room.projects
                )
        return None

    async def _create_and_claim(
        self, new: Sequence[NewJob], request: ClaimRequest
    ) -> tuple[Outcomes, Claimed]:
        """Creates jobs and claims. If the claim cannot be made, the jobs are created without it."""
        try:
            return await self._database.run(
                lambda conn: creation.create_and_claim(conn, new, request, ACCEPT_WITHIN_S)
            )
        except (Locked, psycopg.Error) as error:
            with halves.after(error):
                return await self._create(new), Claimed([], None)

    # ── offers to workers ──

    async def send(self, offers: Sequence[Offer]) -> None:
        """Offers jobs whose claim is committed to their workers. What cannot be sent to anybody is
        set aside; an offer whose worker's stream has ended goes back to the queue."""
        self.claimed += len(offers)
        if not all(offer.has_number for offer in offers):
            offers = await self._without_numbers_at_end(offers)
        if any(map(may_need_values, offers)):
            offers = await self._secret_offers.filled(offers)
        unsent: list[Claimant] = []
        lines: list[JobLine] = []
        for offer in offers:
            if not offer.fits:
                error = ValueError("no worker can be told of it")
                await set_aside(self._database, [offer.job_id], error, ACTOR)
                continue
            stream = self._presence.get(offer.worker_id)
            there = stream is not None and not stream.closed.is_set()
            if stream and there:
                stream.offer(offer)
            else:
                unsent.append(Claimant(offer.lease, offer.worker_id))
            lines.append(job_lines.of_dispatch(offer, sent=there))
        if lines:
            job_lines.say(self._log, lines)
        if unsent:
            await give_back(self._database, unsent, "the worker's stream ended", ACTOR)

    async def _without_numbers_at_end(self, offers: Sequence[Offer]) -> list[Offer]:
        """Returns the offers whose numbers workers take. A hand has moved the sequence beyond: it is
        moved back, and the others return to the queue."""
        await self._database.run(invariants.pass_live_leases)
        beyond = [Claimant(one.lease, one.worker_id) for one in offers if not one.has_number]
        await give_back(self._database, beyond, "the lease numbers were used up", ACTOR)
        return [one for one in offers if one.has_number]

    # ── looks at the queue ──

    def observe(self, *, ready: bool) -> None:
        """Takes the result of a look at the queue, about once a second: whether ready jobs wait.
        Looks again ever more rarely while nobody here can run them."""
        claimed = self.claimed > self._claimed_before
        self._claimed_before = self.claimed
        now = time.monotonic()
        if not ready or claimed:
            self._pause_s = self._look_at = 0.0
        if ready and now >= self._look_at:
            if not claimed:
                for head in self._heads.values():
                    head.look()
            self.wake()
            self._pause_s = min(MOST_PAUSE_S, max(1.0, 2 * self._pause_s))
            self._look_at = now + self._pause_s
        self._reminder.observe(ready=ready, claimed=claimed, locked=self._detour.locked)
