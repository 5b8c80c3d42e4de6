"""Maintenance of the tables: days ahead are made, and what is older than --keep-days is deleted,
final jobs before the days of their events.

Leaderless: any number of servers may do it at once, in short transactions with pauses between them;
what one has done, another does not find. Failure: what could not be done now (a lock, a database
that is away) is done an hour later; days stand a week ahead."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from loguru import logger

from hodei.domain.errors import Unavailable
from hodei.domain.text import words_of
from hodei.shapes.fleet import Maintenance
from hodei.store import retention, secrets
from hodei.store.database import TROUBLE, Connection, Database

T = TypeVar("T")

EVERY_S = 3600.0
"""Seconds between two runs of the maintenance at one server."""

BATCH = 1000
"""Jobs deleted in one transaction: some 10 ms."""

PAUSE_S = 0.05
"""Seconds between two batches, so that work on jobs comes first."""

TRIES = 20
"""How often a lock that is busy is tried, a second apart."""


class Maintainer:
    def __init__(
        self,
        database: Database,
        keep_days: int,
        tries: int = TRIES,
        heal: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`keep_days`: 0 keeps everything. `heal` mends the schema if something of it is gone that
        no statement trips over (an index, a constraint, a trigger)."""
        self._database = database
        self._keep_days = keep_days
        self._tries = tries
        self._heal = heal
        self._refused: set[str] = set()  # what has been told: once is enough
        self._log = logger.bind(component="Maintainer")

    async def run(self) -> None:
        """Maintains the tables once an hour, for ever."""
        while True:
            try:
                if self._heal:
                    await self._heal()
                self._tell(await self.once())
            except (*TROUBLE, retention.Busy) as error:
                self._log.warning("maintenance waits: {}", words_of(error))
                await asyncio.sleep(random.uniform(30.0, 60.0))  # noqa: S311
                continue
            await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311

    async def once(self, progress: Callable[[Maintenance], None] = lambda _: None) -> Maintenance:
        """Runs the maintenance and says what it did; `progress` is called with what is done so far.
        Busy: a lock was busy at each of `tries` tries."""
        report = Maintenance()
        report.days_made = await self._permitted(report, retention.make_days) or 0
        await self._database.run(secrets.delete_ended)
        outside = await self._database.run(retention.outside_days)
        report.stray_events, report.stray_chunks = outside
        if not self._keep_days:
            return report
        days = self._keep_days
        while deleted := await self._database.run(
            lambda conn: retention.delete_jobs(conn, days, BATCH)
        ):
            report.jobs_deleted += deleted
            progress(report)
            await asyncio.sleep(PAUSE_S)
        for day in await self._database.run(lambda conn: retention.old_days(conn, days)):
            await self._drop(day, report)
            progress(report)
        report.workers_deleted = await self._database.run(
            lambda conn: retention.delete_workers(conn, days)
        )
        report.tokens_deleted = await self._database.run(
            lambda conn: retention.delete_tokens(conn, days)
        )
        return report

    async def _drop(self, day: retention.Day, report: Maintenance) -> None:
        refused = len(report.refused)
        try:
            holder = await self._permitted(report, lambda conn: retention.drop_day(conn, day))
        except retention.Busy:
            report.days_busy.append(day.name)
            return
        if len(report.refused) > refused:
            return
        if holder:
            report.days_held[day.name] = str(holder)
        else:
            report.days_dropped.append(day.name)

    async def _permitted(
        self, report: Maintenance, work: Callable[[Connection], Awaitable[T]]
    ) -> T | None:
        """Does as _patiently; None where this role may not do it, which the report says: the rest
        of the maintenance does not depend on it."""
        try:
            return await self._patiently(work)
        except Unavailable as error:
            if not isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
                raise
            report.refused.append(f"{error}; docs/database.md has the GRANTs")
            return None

    async def _patiently(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        for _ in range(self._tries - 1):
            try:
                return await self._database.run(work)
            except retention.Busy:
                await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311
        return await self._database.run(work)

    def _tell(self, report: Maintenance) -> None:
        for words in dict.fromkeys(report.refused):
            if words not in self._refused:
                self._refused.add(words)
                self._log.warning("maintenance is not whole: {}", words)
        if report.stray_events or report.stray_chunks:
            self._log.warning(
                "{} events and {} log chunks lie in domain_events_default and job_logs_default: no day was ready for them; "
                "`hodei db maintain` moves those of today and later",
                report.stray_events,
                report.stray_chunks,
            )
        for name, job_id in report.days_held.items():
            self._log.warning(
                "{} is older than {} days and stays: job {} has its story in it",
                name,
                self._keep_days,
                job_id,
            )
        for name in report.days_busy:
            self._log.warning(
                "{} is older than {} days and stays for now: its lock is busy",
                name,
                self._keep_days,
            )
        if report.jobs_deleted or report.days_dropped:
            self._log.info(
                "{} final jobs and {} old days are gone",
                report.jobs_deleted,
                len(report.days_dropped),
            )
