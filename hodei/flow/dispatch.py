"""The dispatcher gives work out: it claims ready jobs for the free slots of this server's workers and offers them.

Claim and assignment are committed before anything is sent; if this process dies between the two, the offer lapses and returns. The wake-up
(a notification, a freed slot, an enqueue here) is a hint; the sweep's look at the queue each second is the truth.
"""

import asyncio
import time

from loguru import logger

from hodei.domain.worker import ACCEPT_WITHIN_S
from hodei.fleet.presence import Presence
from hodei.store import job_queue, leases
from hodei.store.database import TROUBLE, Database
from hodei.store.job_queue import Offer

CLAIM_AT_MOST = 200
"""Jobs of one claim: larger batches gain nothing (docs/performance.md) and make slots wait for each other."""

REST = 3.0
MOST_REST_S = 0.02
"""After a claim that found less than it asked for: so many times as long as it took. A machine that is busy claims more at a time, and one
that is not is ready again after a few milliseconds."""

REMIND_EVERY_S = 30.0
"""How often a condition that lasts is said again."""


class JobDispatcher:
    def __init__(self, database: Database, presence: Presence) -> None:
        self._database = database
        self._presence = presence
        self._wake = asyncio.Event()
        self._stopping = False
        self._claimed_since_look = 0
        self.claimed = 0  # since the start
        self._condition = ""
        self._said_at = 0.0
        self._log = logger.bind(component="JobDispatcher")

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
            begun = loop.time()
            try:
                while not self._stopping and await self._round():
                    begun = loop.time()
            except TROUBLE as error:
                self._log.warning("cannot claim: {}", error)  # the sweep's look wakes us again
            await asyncio.sleep(min(MOST_REST_S, REST * (loop.time() - begun)))

    async def _round(self) -> bool:
        """One claim for each set of labels. True: it may be worth asking again."""
        again = False
        for labels, slots in self._presence.credits():
            wanted = slots[:CLAIM_AT_MOST]
            offers = await self._database.run(
                lambda conn, wanted=wanted, labels=labels: job_queue.claim(conn, wanted, labels, ACCEPT_WITHIN_S)  # type: ignore[misc]
            )
            await self._send(offers)
            self._claimed_since_look += len(offers)
            self.claimed += len(offers)
            again = again or (len(offers) == len(wanted) and len(slots) > len(wanted))
        return again

    async def _send(self, offers: list[Offer]) -> None:
        unsent: list[leases.Claimant] = []
        for offer in offers:
            log = self._log.bind(correlation_id=offer.correlation_id, actor=offer.actor, job_id=offer.job_id, worker_id=offer.worker_id)
            stream = self._presence.get(offer.worker_id)
            if stream is None or stream.closed.is_set():
                unsent.append(leases.Claimant(offer.lease, offer.worker_id))
                log.info("JobUnassigned: the worker's stream ended before RUN_JOB was sent")
                continue
            log.info("Dispatching job to worker (JobAssigned, lease {})", offer.lease)
            stream.offer(offer)
            log.info("RUN_JOB command sent successfully: Job dispatched successfully")
        if unsent:
            await self._database.run(lambda conn: leases.release(conn, unsent, "the worker's stream ended", "system:job_dispatcher"))

    def observe(self, *, ready: bool) -> None:
        """Told once a second whether ready jobs wait: says why nothing moves, on change and every 30 s while it lasts."""
        if ready:
            self.wake()
        if not ready:
            condition = "No jobs in queue"
        elif self._claimed_since_look:
            condition = ""
        elif any(stream.free_slots for stream in self._presence):
            condition = "No available workers with the labels that the queued jobs require"
        else:
            condition = "No available workers: none connected here has a free slot"
        self._claimed_since_look = 0
        now = time.monotonic()
        if condition and (condition != self._condition or now - self._said_at >= REMIND_EVERY_S):
            self._log.info(condition)
            logger.bind(component="JobController").info("alive: {} workers connected to this server", len(self._presence))
            self._said_at = now
        self._condition = condition
