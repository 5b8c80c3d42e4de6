"""The dispatcher gives work out: it claims ready jobs for the free slots of this server's workers
and offers them.

Claim and assignment are committed before anything is sent; if this process dies between the two,
the offer lapses and returns. The wake-up (a notification, a freed slot, an enqueue here) is a hint;
the sweep's look at the queue each second is the truth."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterator

import psycopg
from loguru import logger

from hodei.domain.errors import Locked
from hodei.domain.job_line import JobLine
from hodei.domain.text import words_of
from hodei.domain.timing import ACCEPT_WITHIN_S
from hodei.fleet.presence import Presence
from hodei.flow import job_lines
from hodei.flow.detour import Detour
from hodei.flow.give_back import give_back
from hodei.flow.queue_head import QueueHead
from hodei.flow.set_aside import set_aside
from hodei.store import claims, job_queue, leases
from hodei.store.claims import Offer
from hodei.store.database import TROUBLE, Database

CLAIM_AT_MOST = 200
"""Jobs of one claim: larger ones make slots wait for each other."""

REST = 3.0
MOST_REST_S = 0.02
"""After a claim that found less than it asked for: so many times as long as it took. A machine that
is busy claims more at a time, and one that is not is ready again after a few milliseconds."""

REMIND_EVERY_S = 30.0
"""How often a condition that lasts is said again."""

MOST_SETS = 10
"""Sets of labels that are asked for in one round. A fleet with more begins with those that can run
what waits at the queue's head."""

MOST_PAUSE_S = 10.0
"""Between two looks at jobs that were ready and that nobody here could run, if nothing else wakes
us; the first is a second, then twice as long."""

Credit = tuple[dict[str, str], list[uuid.UUID]]


class JobDispatcher:
    def __init__(self, database: Database, presence: Presence) -> None:
        self._database = database
        self._presence = presence
        self._wake = asyncio.Event()
        self._stopping = False
        self._missed = False  # a wake-up came while a create had a claim along
        self._claiming = (
            False  # one claim at a time: a second one would count on the same free slots
        )
        self._heads: dict[
            tuple[tuple[str, str], ...], QueueHead
        ] = {}  # by labels; emptied when there are too many
        self._turn = 0
        self._claimed_since_look = 0
        self.claimed = 0  # since the start
        self._pause_s = 0.0
        self._look_at = 0.0
        self._condition = ""
        self._said_at = 0.0
        self._detour = Detour(database)
        self._log = logger.bind(component="JobDispatcher")

    @property
    def wading(self) -> bool:
        """Claims find dead rows that cannot be vacuumed."""
        return any(head.wading for head in self._heads.values())

    def wake(self) -> None:
        self._wake.set()

    def stop_claiming(self) -> None:
        """First phase of a stop: nothing new is claimed; what is in flight goes on."""
        self._stopping = True

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._claiming:
                self._missed = True  # whoever does will wake us
                continue
            begun = loop.time()
            try:
                with self._one_claim():
                    while not self._stopping and await self._round():
                        begun = loop.time()
            except TROUBLE as error:
                self._log.warning(
                    "cannot claim: {}", words_of(error)
                )  # the sweep's look wakes us again
            await asyncio.sleep(min(MOST_REST_S, REST * (loop.time() - begun)))

    async def _round(self) -> bool:
        """One claim for each set of labels. True: it may be worth asking again."""
        credits, again = self._presence.credits(CLAIM_AT_MOST), False
        if len(credits) > MOST_SETS:
            credits, again = await self._worth_asking(credits)
        fruitful = False
        for labels, wanted in credits:
            offers = await self._claim(labels, wanted)
            await self.send(offers)
            fruitful = fruitful or bool(offers)
            again = again or len(offers) == len(wanted)
        return again and fruitful

    @contextlib.contextmanager
    def _one_claim(self) -> Iterator[None]:
        self._claiming = True
        try:
            yield
        finally:
            self._claiming = False

    async def _worth_asking(self, credits: list[Credit]) -> tuple[list[Credit], bool]:
        """Few enough of them, those first that can run what waits; whether others are left. Each
        has its turn."""
        required, complete = await self._database.run(job_queue.required)
        self._turn += 1
        start = self._turn * MOST_SETS % len(credits)
        fit: list[Credit] = []
        others: list[Credit] = []
        for credit in credits[start:] + credits[:start]:
            (
                fit if any(labels.items() <= credit[0].items() for labels in required) else others
            ).append(credit)
        if complete or not others:
            return fit[:MOST_SETS], len(fit) > MOST_SETS
        return (fit[: MOST_SETS // 2] + others)[:MOST_SETS], len(fit) > MOST_SETS

    async def _claim(self, labels: dict[str, str], workers: list[uuid.UUID]) -> list[Offer]:
        loop = asyncio.get_running_loop()
        if len(self._heads) > 1000:
            self._heads.clear()
        head = self._heads.setdefault(tuple(sorted(labels.items())), QueueHead())
        wish = claims.ClaimRequest(workers, labels, head.begin(loop.time()), self._detour.avoided)
        begun = loop.time()
        try:
            claimed = await self._database.run(
                lambda conn: claims.claim(conn, wish, ACCEPT_WITHIN_S)
            )
        except (Locked, psycopg.Error) as error:
            return await self._detour.claim(wish, error)
        head.ended(wish.beyond, claimed.last, loop.time(), loop.time() - begun)
        return claimed.offers

    @contextlib.contextmanager
    def along(self, labels: dict[str, str], jobs: int) -> Iterator[claims.ClaimRequest | None]:
        """A claim that an enqueue of a few jobs with these labels takes along in its own
        transaction: where a slot is free, they are offered without another way to the database.
        None: there is none, or a claim is under way. What it claimed is to be sent."""
        wish = (
            None
            if self._stopping or self._claiming or self.wading
            else self._wish_for(labels, jobs)
        )
        if wish is None:
            yield None
            return
        try:
            with self._one_claim():
                yield wish
        finally:
            if self._missed:
                self._missed = False
                self.wake()

    def _wish_for(self, labels: dict[str, str], jobs: int) -> claims.ClaimRequest | None:
        for theirs, workers in self._presence.credits(jobs):
            if labels.items() <= theirs.items():
                return claims.ClaimRequest(workers, theirs, avoid=self._detour.avoided)
        return None

    async def send(self, offers: list[Offer]) -> None:
        """What was claimed, and is committed."""
        self._claimed_since_look += len(offers)
        self.claimed += len(offers)
        unsent: list[leases.Claimant] = []
        lines: list[JobLine] = []
        for offer in offers:
            if not offer.fits:
                await set_aside(
                    self._database,
                    [offer.job_id],
                    ValueError("no worker can be told of it"),
                    "system:job_dispatcher",
                )
                continue
            stream = self._presence.get(offer.worker_id)
            there = stream is not None and not stream.closed.is_set()
            if stream and there:
                stream.offer(offer)
            else:
                unsent.append(leases.Claimant(offer.lease, offer.worker_id))
            lines.append(job_lines.of_dispatch(offer, sent=there))
        if lines:
            job_lines.say(self._log, lines)
        if unsent:
            await give_back(
                self._database, unsent, "the worker's stream ended", "system:job_dispatcher"
            )

    def observe(self, *, ready: bool) -> None:
        """Told once a second whether ready jobs wait: says why nothing moves, on change and every
        30 s while it lasts."""
        now = time.monotonic()
        if not ready or self._claimed_since_look:
            self._pause_s = self._look_at = 0.0
        if ready and now >= self._look_at:
            self.wake()
            self._pause_s = min(MOST_PAUSE_S, max(1.0, 2 * self._pause_s))
            self._look_at = now + self._pause_s
        if not ready:
            condition = "No jobs in queue"
        elif self._claimed_since_look:
            condition = ""
        elif any(stream.free_slots for stream in self._presence):
            condition = "No available workers with the labels that the queued jobs require"
        else:
            condition = "No available workers: none connected here has a free slot"
        self._claimed_since_look = 0
        if condition and (condition != self._condition or now - self._said_at >= REMIND_EVERY_S):
            self._log.info(condition)
            logger.bind(component="JobController").info(
                "alive: {} workers connected to this server", len(self._presence)
            )
            self._said_at = now
        self._condition = condition
