"""The look of once a second, and the roster of sweeps that it may find something for."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import psycopg
from loguru import logger

from hodei.domain.timing import LIMIT_MARGIN_S, UNREACHABLE_AFTER_S
from hodei.fleet.presence import Presence
from hodei.fleet.repeated import Repeated
from hodei.flow.cancel import Canceller
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.lost import LostAttempts
from hodei.flow.sweeps.attempts import AttemptSweeps
from hodei.flow.sweeps.broken import BrokenRows
from hodei.flow.sweeps.queue import QueueSweeps
from hodei.flow.sweeps.vacuum import Vacuum
from hodei.store import sqlstate, sweep
from hodei.store.database import TROUBLE, Database
from hodei.store.sweep import Attention

LOOK_EVERY_S = (0.9, 1.5)
"""Seconds between two looks; at random, so that servers do not look all at once."""

CANCELS_EVERY_S = 5.0
"""Seconds after which undelivered cancels are told again: their notification may have been
missed."""


class Sweep(NamedTuple):
    """One line of the roster: when a look has found any of `finds` (names of Attention), `act` puts
    it right. `name` stands in the log when it cannot."""

    name: str
    finds: Sequence[str]
    act: Callable[[], Awaitable[None]]


class Sweeper:
    """The sweeps of one server."""

    def __init__(
        self,
        database: Database,
        presence: Presence,
        dispatcher: JobDispatcher,
        canceller: Canceller,
        lost: LostAttempts,
        lost_after_s: float,
    ) -> None:
        self._database = database
        self._presence = presence
        self._dispatcher = dispatcher
        self._canceller = canceller
        self.roster = roster(
            QueueSweeps(database), AttemptSweeps(database, presence, lost, lost_after_s)
        )
        self._broken = BrokenRows(database)
        self._vacuum = Vacuum(database)
        self._cancels_at = 0.0
        self._log = logger.bind(component="JobRescuer")
        self._trouble = defaultdict[str, Repeated](lambda: Repeated(self._log.warning))  # by name
        self._unreadable = Repeated(self._log.error)
        # By time.monotonic(): when the database last answered a look and could be written.
        self.looked_at = -1e9

    async def run(self) -> None:
        """Looks and acts, for ever. An act that fails is logged, and the others are done."""
        while True:
            await self._try("sweep", self._sweep)
            await self._try("tell cancels", self._tell_cancels)
            await self._try("check", self._broken.mend)
            await self._try("tidy", lambda: self._vacuum.run(self._dispatcher.claimed))
            await asyncio.sleep(random.uniform(*LOOK_EVERY_S))  # noqa: S311

    async def _try(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except TROUBLE as error:
            self._trouble[name].meet(f"{name} waits: {sqlstate.primary(error)}")
        else:
            self._trouble[name].end()

    async def _sweep(self) -> None:
        found = await self._look()
        for one in self.roster:
            if any(getattr(found, name) for name in one.finds):
                await self._try(one.name, one.act)
        self._dispatcher.observe(ready=found.ready or found.due)

    async def _look(self) -> Attention:
        """If a look fails for a row that a hand has set, everything is swept as if it were due."""
        try:
            found = await self._database.run(
                lambda conn: sweep.look(conn, UNREACHABLE_AFTER_S, LIMIT_MARGIN_S)
            )
        except psycopg.Error as error:
            words = f"a row cannot be looked at, all sweeps are made: {sqlstate.primary(error)}"
            self._unreadable.meet(words)
            return sweep.EVERYTHING
        self._unreadable.end()
        self.looked_at = time.monotonic()
        return found

    async def _tell_cancels(self) -> None:
        now = time.monotonic()
        busy = [stream.worker_id for stream in self._presence if stream.held]
        if busy and now - self._cancels_at >= CANCELS_EVERY_S:
            self._cancels_at = now
            await self._canceller.deliver(busy)


def roster(queue: QueueSweeps, attempts: AttemptSweeps) -> tuple[Sweep, ...]:
    """Every sweep, in the order in which they act. A kind of thing to sweep is a
    line of store/sweep.FINDS, a field of Attention and a line here."""
    return (
        Sweep("start queue timeouts", ["unseen"], queue.start_timeouts),
        Sweep("file queue rows", ["unfiled"], queue.file),
        Sweep("promote", ["due"], queue.promote),
        Sweep("expire", ["expired"], queue.expire),
        Sweep("end overrun", ["overrun"], attempts.end_overrun),
        Sweep("take back", ["overdue_offers"], attempts.take_back_offers),
        Sweep("judge silent", ["silent_workers"], attempts.judge_silent_workers),
        # A worker that was judged a moment ago leaves orphans.
        Sweep("end orphaned", ["silent_workers", "orphaned_leases"], attempts.end_orphaned),
    )
