"""The net: once a second each server looks whether anything is due, overdue, silent or orphaned,
and acts on what it finds.

Leaderless: any number of servers may look and act at once; every act is a bounded, guarded
statement, and what another server has done already is simply not found any more. Failure: if a
server dies between two acts, the next look of any server finds the rest."""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable

import psycopg
from loguru import logger

from hodei.domain.errors import Locked
from hodei.domain.job import JobState, Reason
from hodei.domain.job_line import JobLine
from hodei.domain.timing import ACCEPT_WITHIN_S, LIMIT_MARGIN_S, UNREACHABLE_AFTER_S
from hodei.fleet.presence import Presence
from hodei.flow import job_lines
from hodei.flow.control import JobController
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.give_back import give_back
from hodei.flow.set_aside import set_aside
from hodei.store import (
    dead_rows,
    halves,
    invariants,
    job_queue,
    sqlstate,
    stray_leases,
    sweep,
    workers,
)
from hodei.store.database import TROUBLE, Connection, Database
from hodei.store.times import instant

LOOK_EVERY_S = (0.9, 1.5)
"""Between two looks; some jitter, so that servers do not look as one."""

CANCELS_EVERY_S = 5.0
"""How often undelivered cancels are told again: their notification may have been missed."""

CHECK_EVERY_S = (3.0, 6.0)
"""How often a server asks whether it is its turn to look for what a hand has broken
(store/invariants.py)."""

TIDY_EVERY_S, TIDY_FROM = 2.0, 200
"""How often, and from how many claims of this server since, the hot tables are vacuumed."""


MANY_DEAD = 10_000
"""Rows that vacuums leave in the queue. Some are always there for a moment; so many are held back
by an old transaction."""

WARN_EVERY_S = 30.0


class JobRescuer:
    def __init__(
        self,
        database: Database,
        presence: Presence,
        dispatcher: JobDispatcher,
        controller: JobController,
        lost_after_s: float,
    ) -> None:
        self._database = database
        self._presence = presence
        self._dispatcher = dispatcher
        self._controller = controller
        self._lost_after_s = lost_after_s
        self._cancels_at = self._check_at = 0.0
        self.looked_at = -1e9  # monotonic: when the database last answered, and could be written
        self._told_not_vacuumed = False
        self._tidied_at, self._tidied_claims = 0.0, 0
        self._warned_at = -WARN_EVERY_S
        self._log = logger.bind(component="JobRescuer")

    async def run(self) -> None:
        """Each act by itself: one that fails is told, and the others are done."""
        acts = (self._sweep, self._tell_cancels, self._check, self._tidy)
        while True:
            for act in acts:
                await self._try(act)
            await asyncio.sleep(random.uniform(*LOOK_EVERY_S))  # noqa: S311

    async def _try(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except TROUBLE as error:
            self._log.warning(
                "{} waits: {}", act.__name__.strip("_").replace("_", " "), sqlstate.primary(error)
            )

    async def _tell_cancels(self) -> None:
        now = time.monotonic()
        busy = [stream.worker_id for stream in self._presence if stream.held]
        if busy and now - self._cancels_at >= CANCELS_EVERY_S:
            self._cancels_at = now
            await self._controller.deliver_cancels(busy)

    async def _sweep(self) -> None:
        """If the look itself fails (for a row that a hand has set), everything is done as if it
        were due."""
        try:
            found = await self._database.run(
                lambda conn: sweep.look(conn, UNREACHABLE_AFTER_S, LIMIT_MARGIN_S)
            )
            self.looked_at = time.monotonic()
        except psycopg.Error as error:
            self._log.error(
                "a row cannot be looked at, all sweeps are made: {}", sqlstate.primary(error)
            )
            found = sweep.EVERYTHING
        due = (
            (found.unseen, self._see),
            (found.due, self._promote),
            (found.expired, self._expire),
            (found.overrun, self._end_overrun),
            (found.overdue_offers, self._take_back),
            (found.silent_workers, self._judge_silent),
            (found.silent_workers or found.orphaned_leases, self._end_orphaned),
        )
        for is_due, act in due:
            if is_due:
                await self._try(act)
        self._dispatcher.observe(ready=found.ready or found.due)

    async def _see(self) -> None:
        await self._database.run(job_queue.start_timeouts)

    async def _promote(self) -> None:
        await self._for_each(await self._database.run(job_queue.due), job_queue.promote)

    async def _expire(self) -> None:
        async def expire(conn: Connection, some: list[uuid.UUID]) -> None:
            words, who = (
                job_lines.changed(JobState.PENDING, JobState.FAILED, Reason.TIMEOUT),
                "system:job_rescuer",
            )
            ended = await job_queue.expire(conn, some)
            lines = [JobLine(words, one.correlation_id, who, one.job_id) for one in ended]
            job_lines.say(self._log, lines)

        await self._for_each(await self._database.run(job_queue.expired), expire)

    async def _for_each(
        self, jobs: list[uuid.UUID], act: Callable[[Connection, list[uuid.UUID]], Awaitable[object]]
    ) -> None:
        """One statement for all; a job that PostgreSQL refuses is set aside, one that is locked is
        found again."""

        async def together(some: list[uuid.UUID]) -> list[None]:
            await self._database.run(lambda conn: act(conn, some))
            return [None] * len(some)

        for job_id, answer in zip(jobs, await halves.each(jobs, together), strict=True):
            if isinstance(answer, Exception) and not isinstance(answer, Locked):
                await set_aside(self._database, [job_id], answer, "system:job_rescuer")

    async def _end_overrun(self) -> None:
        if overrun := await self._database.run(stray_leases.overrun):
            await self._controller.end_overrun(overrun)

    async def _check(self) -> None:
        """What a hand has broken: jobs that nothing would move on, leases without their job."""
        now = time.monotonic()
        if now < self._check_at:
            return
        self._check_at = now + random.uniform(*CHECK_EVERY_S)  # noqa: S311
        stray = await self._database.run(invariants.stray_jobs, timeout_s=60.0)
        if stray:
            await self._for_each(stray, self._mend)
        if dropped := await self._database.run(invariants.drop_leases):
            self._log.warning(
                "{} leases had no job and are gone, the first is {}", len(dropped), dropped[0]
            )

    async def _mend(self, conn: Connection, jobs: list[uuid.UUID]) -> None:
        for one in await invariants.mend(conn, jobs):
            words = (
                "it waited and was in no queue: it is queued again"
                if one.queued
                else "its lease was gone: it is written anew"
            )
            self._log.bind(
                correlation_id=one.correlation_id, actor="system:job_rescuer", job_id=one.job_id
            ).warning("{}", words)

    async def _tidy(self) -> None:
        now, claims = time.monotonic(), self._dispatcher.claimed
        if now - self._tidied_at >= TIDY_EVERY_S and claims - self._tidied_claims >= TIDY_FROM:
            self._tidied_at, self._tidied_claims = now, claims
            if skipped := await self._database.run(dead_rows.vacuum):
                self._tell_not_vacuumed(skipped[0])
                return
            held_back = await self._database.run(dead_rows.held_back)
            if held_back.dead_rows > MANY_DEAD and now - self._warned_at >= WARN_EVERY_S:
                self._warned_at = now
                self._log.warning(
                    "job_queue has {} dead rows that no vacuum can remove; the oldest transaction is of {}: end it, or claims get slower",
                    held_back.dead_rows,
                    held_back.by or "somebody whom this role cannot see",
                )

    def _tell_not_vacuumed(self, words: str) -> None:
        """Once: autovacuum does it later, and no transaction is to blame for dead rows until
        then."""
        if not self._told_not_vacuumed:
            self._told_not_vacuumed = True
            self._log.warning(
                "this role may not vacuum job_queue and leases; until autovacuum comes, claims get slower under load "
                "(PostgreSQL: {}); docs/database.md says who may",
                words,
            )

    async def _take_back(self) -> None:
        overdue = await self._database.run(lambda conn: stray_leases.overdue(conn, ACCEPT_WITHIN_S))
        if overdue:
            back = await give_back(
                self._database,
                overdue,
                f"not accepted within {ACCEPT_WITHIN_S:g} s",
                "system:job_rescuer",
            )
            for claimant in overdue:
                if claimant.lease in back and (stream := self._presence.get(claimant.worker_id)):
                    stream.let_go(claimant.lease)

    async def _judge_silent(self) -> None:
        for worker_id, state, last_heartbeat in await self._database.run(
            lambda conn: workers.judge_silent(conn, UNREACHABLE_AFTER_S, self._lost_after_s)
        ):
            self._log.bind(worker_id=worker_id).warning(
                "worker is {}: last heard of at {}",
                state,
                instant(last_heartbeat) if last_heartbeat else "never",
            )

    async def _end_orphaned(self) -> None:
        orphaned = await self._database.run(stray_leases.orphaned)
        lost = [claimant for claimant, accepted in orphaned if accepted]
        offers = [claimant for claimant, accepted in orphaned if not accepted]
        if lost:
            await self._controller.lose(
                lost, "its worker was lost or its credential revoked", "system:job_rescuer"
            )
        if offers:
            await give_back(self._database, offers, "the worker is gone", "system:job_rescuer")
