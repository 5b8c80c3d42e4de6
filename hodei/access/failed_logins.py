"""Calls with a key that is not valid leave the event LoginFailed: the first at once, those that
follow as a number, once a minute for each address and key."""

import asyncio
import time
from dataclasses import dataclass

from loguru import logger

from hodei.domain.text import words_of
from hodei.store import audit_events
from hodei.store.audit_events import AuditKind
from hodei.store.database import TROUBLE, Connection, Database

ACTOR = "system:access"

WRITE_EVERY_S = 60.0
"""Seconds between two events of one address and key."""

LOOK_EVERY_S = 1.0

MOST_COUNTED = 1_000
"""Addresses with their keys that are counted apart. Beyond them a call is not counted."""

MOST_KEYS = 10
"""Keys of one address that are counted apart. Further ones are counted together, without an id."""

AT_ONCE = 100
"""Events that are written in one transaction."""


@dataclass(slots=True)
class _Count:
    calls: int
    written_at: float  # monotonic; 0: never


class FailedLogins:
    """What is not written when a server ends is lost. The log has the first call of each address and
    key, and again the first after WRITE_EVERY_S without one; of the keys of an address beyond
    MOST_KEYS, each call."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[tuple[str, str | None], _Count] = {}
        self._log = logger.bind(component="Access")

    def count(self, address: str, key_id: str | None, why: str) -> None:
        """Counts a call from an address with a key that is not valid. `key_id`: as it names itself,
        of the form of an id."""
        place = address, key_id
        if place not in self._counts:
            if sum(there == address for there, _ in self._counts) >= MOST_KEYS:
                place = address, None
            if place not in self._counts and len(self._counts) >= MOST_COUNTED:
                return
            self._log.warning("refused a call from {} with key {}: {}", address, key_id, why)
        self._counts.setdefault(place, _Count(0, 0.0)).calls += 1

    async def run(self) -> None:
        """Writes what was counted, for ever. Trouble is logged; the counts stay."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._counts:
                try:
                    await self._write_due()
                except TROUBLE as error:
                    self._log.warning("refused calls cannot be written: {}", words_of(error))
                    await asyncio.sleep(10 * LOOK_EVERY_S)

    async def _write_due(self) -> None:
        now = time.monotonic()
        due = {
            place: count.calls
            for place, count in self._counts.items()
            if count.calls and (not count.written_at or now - count.written_at >= WRITE_EVERY_S)
        }
        due = dict([*due.items()][:AT_ONCE])
        if due:
            await self._database.transact(lambda conn: _write(conn, due))
        for place, calls in due.items():
            self._counts[place].calls -= calls
            self._counts[place].written_at = now
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Forgets what was written and has not come again for as long as an event is apart."""
        for place, count in [*self._counts.items()]:
            if not count.calls and now - count.written_at >= WRITE_EVERY_S:
                del self._counts[place]


async def _write(conn: Connection, due: dict[tuple[str, str | None], int]) -> None:
    for (address, key_id), calls in due.items():
        said = {"address": address, "calls": calls, "key_id": key_id}
        await audit_events.write(conn, AuditKind.LOGIN_FAILED, key_id or address, ACTOR, said)
