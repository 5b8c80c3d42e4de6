"""The net: once a second each server looks whether anything is due, overdue, silent or orphaned, and acts on what it finds.

Leaderless: any number of servers may look and act at once; every act is a bounded, guarded statement, and what another server has done
already is simply not found any more. Failure: if a server dies between two acts, the next look of any server finds the rest.
"""

import asyncio
import random
import time

from loguru import logger

from hodei.domain.worker import ACCEPT_WITHIN_S, LIMIT_MARGIN_S, UNREACHABLE_AFTER_S
from hodei.fleet.presence import Presence
from hodei.flow.control import JobController
from hodei.flow.dispatch import JobDispatcher
from hodei.store import job_queue, leases, stray_leases, sweep, workers
from hodei.store.database import TROUBLE, Database

LOOK_EVERY_S = (0.9, 1.5)
"""Between two looks; some jitter, so that servers do not look as one."""

CANCELS_EVERY_S = 5.0
"""How often undelivered cancels are told again: their notification may have been missed."""

TIDY_EVERY_S, TIDY_FROM = 2.0, 200
"""How often, and from how many claims of this server since, the hot tables are vacuumed."""


MANY_DEAD = 10_000
"""Rows that vacuums leave in the queue. Some are always there for a moment; so many are held back by an old transaction."""

WARN_EVERY_S = 30.0


class JobRescuer:
    def __init__(
        self, database: Database, presence: Presence, dispatcher: JobDispatcher, controller: JobController, lost_after_s: float
    ) -> None:
        self._database = database
        self._presence = presence
        self._dispatcher = dispatcher
        self._controller = controller
        self._lost_after_s = lost_after_s
        self._cancels_at = 0.0
        self._tidied_at, self._tidied_claims = 0.0, 0
        self._warned_at = -WARN_EVERY_S
        self._log = logger.bind(component="JobRescuer")

    async def run(self) -> None:
        while True:
            try:
                await self._sweep()
                await self._tell_cancels()
                await self._tidy()
            except TROUBLE as error:
                self._log.warning("sweep waits: {}", error)
            await asyncio.sleep(random.uniform(*LOOK_EVERY_S))  # noqa: S311

    async def _tell_cancels(self) -> None:
        now = time.monotonic()
        busy = [stream.worker_id for stream in self._presence if stream.held]
        if busy and now - self._cancels_at >= CANCELS_EVERY_S:
            self._cancels_at = now
            await self._controller.deliver_cancels(busy)

    async def _sweep(self) -> None:
        found = await self._database.run(lambda conn: sweep.look(conn, UNREACHABLE_AFTER_S, LIMIT_MARGIN_S))
        if found.due:
            await self._database.run(job_queue.promote)
        if found.expired:
            for job_id in await self._database.run(job_queue.expire):
                self._log.bind(job_id=job_id).info("JobStatusChanged PENDING → FAILED (TIMEOUT): it waited too long in the queue")
        if found.overrun and (overrun := await self._database.run(stray_leases.overrun)):
            await self._controller.end_overrun(overrun)
        if found.overdue_offers:
            await self._take_back()
        if found.silent_workers:
            await self._judge_silent()
        if found.silent_workers or found.orphaned_leases:
            await self._end_orphaned()
        self._dispatcher.observe(ready=found.ready or found.due)

    async def _tidy(self) -> None:
        now, claims = time.monotonic(), self._dispatcher.claimed
        if now - self._tidied_at >= TIDY_EVERY_S and claims - self._tidied_claims >= TIDY_FROM:
            self._tidied_at, self._tidied_claims = now, claims
            await self._database.run(job_queue.vacuum)
            held_back = await self._database.run(job_queue.held_back)
            if held_back.dead_rows > MANY_DEAD and now - self._warned_at >= WARN_EVERY_S:
                self._warned_at = now
                self._log.warning(
                    "job_queue has {} dead rows that no vacuum can remove; the oldest transaction is of {}: end it, or claims get slower",
                    held_back.dead_rows, held_back.by or "somebody whom this role cannot see",
                )  # fmt: skip

    async def _take_back(self) -> None:
        overdue = await self._database.run(lambda conn: stray_leases.overdue(conn, ACCEPT_WITHIN_S))
        if overdue:
            back = await self._database.run(
                lambda conn: leases.release(conn, overdue, f"not accepted within {ACCEPT_WITHIN_S:g} s", "system:job_rescuer")
            )
            self._log.info("JobUnassigned: {} offers were not accepted in time and are queued again", len(back))
            for claimant in overdue:
                if stream := self._presence.get(claimant.worker_id):
                    stream.let_go(claimant.lease)

    async def _judge_silent(self) -> None:
        for worker_id, state, last_heartbeat in await self._database.run(
            lambda conn: workers.judge_silent(conn, UNREACHABLE_AFTER_S, self._lost_after_s)
        ):
            self._log.bind(worker_id=worker_id).warning("worker is {}: last heard of at {}", state, last_heartbeat)

    async def _end_orphaned(self) -> None:
        orphaned = await self._database.run(stray_leases.orphaned)
        lost = [claimant for claimant, accepted in orphaned if accepted]
        offers = [claimant for claimant, accepted in orphaned if not accepted]
        if lost:
            await self._controller.lose(lost, "its worker was lost or its credential revoked", "system:job_rescuer")
        if offers:
            await self._database.run(lambda conn: leases.release(conn, offers, "the worker is gone", "system:job_rescuer"))
