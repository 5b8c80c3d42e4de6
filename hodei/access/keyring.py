"""The API keys that calls came with, as one server knows them.

A key that was seen before is found by the text of its header, without a hash and without the
database. The server reads the keys that it knows again every READ_EVERY_S, and at once when it is
notified: then the calls of a revoked key end that are under way. While the database is away, known
keys are valid for KEEP_S."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from loguru import logger

from hodei.access.limits import CallersDatabase
from hodei.access.principal import Principal
from hodei.access.roles import OF_KEYS, Role
from hodei.domain import api_key
from hodei.domain.actor import Actor
from hodei.domain.errors import HodeiError, Unauthenticated, Unavailable
from hodei.domain.text import words_of
from hodei.store import api_keys
from hodei.store.api_keys import Stored
from hodei.store.database import TROUBLE, Connection, Database

READ_EVERY_S = 3.0
"""Seconds after which known keys are read again. A revocation is to be in force within 5 s."""

KEEP_S = 60.0
"""Seconds that known keys are valid after they were last read."""

LOOK_UP_S = 5.0
"""Seconds that the look-up of an unknown key may take."""

MOST_KNOWN = 10_000
"""Keys that are known at the same time. For a further one the oldest without a call under way is
forgotten, which costs a look-up when it comes again."""

MOST_ACTORS = 100
"""Principals that are kept of one key, by what callers say of themselves."""

INVALID = "this API key is not valid: there is no such key"
NO_KEY = (
    "this is no API key: expected hodei_… of {} characters, behind `Bearer ` in a call of your own;"
    " it was mistyped or cut off"
)


class KnownKey:
    """A key that was looked up, and its calls that are under way here."""

    __slots__ = ("_principals", "_stored", "calls", "header", "until", "used")

    def __init__(self, stored: Stored) -> None:
        self._principals: dict[str, Principal] = {}
        self.calls: set[_Call] = set()
        self.header = ""  # with which it came; empty: it has not come yet
        self.used = False
        self.update(stored)

    def update(self, stored: Stored) -> None:
        """Replaces what is known of the key by what was read of it now."""
        self._stored = stored
        self._principals.clear()
        self.until = 0.0
        if stored.usable and self._has_a_role:
            left_s = float("inf") if stored.expires_in_s is None else stored.expires_in_s
            self.until = time.monotonic() + left_s

    def principal(self, said: str) -> Principal:
        """Who calls with this key and says this of itself; empty: nothing."""
        self.used = True
        found = self._principals.get(said)
        if found is None:
            if len(self._principals) >= MOST_ACTORS:
                self._principals.clear()
            key = self._stored
            actor = Actor(f"api:{key.name}", said)
            found = Principal(actor, Role(key.role), key.project, said)
            self._principals[said] = found
        return found

    @property
    def _has_a_role(self) -> bool:
        """Whether its role is one of ours: a hand may have written another one."""
        return self._stored.role in OF_KEYS

    @property
    def id(self) -> str:
        return self._stored.id

    @property
    def is_valid(self) -> bool:
        return time.monotonic() < self.until

    def fits(self, key: api_key.ApiKey) -> bool:
        """Whether a key has the secret of this one."""
        return key.fits(self._stored.secret_sha256)

    def refusal(self) -> Unauthenticated:
        """The error for calls with this key while it is not valid: it has expired, was revoked, or
        has an odd role. It names the key, since only its holder gets it."""
        left_s = self._stored.expires_in_s
        if self._stored.usable and not self._has_a_role:
            why = f"has the role {self._stored.role!r}, which there is not"
        elif left_s is not None and (left_s <= 0 or self._stored.usable):
            why = "has expired"
        else:
            why = "was revoked"
        return Unauthenticated(
            f"the API key {self._stored.name} ({self._stored.id}) {why}:"
            " ask an admin for another one (`hodei apikey create`)"
        )


class _Call:
    """A call that goes on for as long as its key is valid."""

    __slots__ = ("error", "task")

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self.task = task
        self.error: HodeiError | None = None

    def end(self, error: HodeiError) -> None:
        if self.error is None:
            self.error = error
            self.task.cancel()


class Keyring:
    """`callers`: the database for look-ups, in which callers have their turns; `database`: for what
    the server reads by itself."""

    def __init__(self, database: Database, callers: CallersDatabase) -> None:
        self._database = database
        self._callers = callers
        self._by_header: dict[str, KnownKey] = {}  # of the right keys alone
        self._by_id: dict[str, KnownKey] = {}
        self._wake = asyncio.Event()
        self._read_at = 0.0  # monotonic; of the last reading
        self._trouble = "they were not read yet"  # empty: the last reading was good
        self._any: bool | None = None
        self._log = logger.bind(component="Access")

    # ── calls ──

    def recall(self, header: str) -> KnownKey | None:
        """The key of a header that was seen before, if it is valid."""
        known = self._by_header.get(header)
        if known is None:
            return None
        now = time.monotonic()
        return known if now < known.until and now - self._read_at < KEEP_S else None

    async def look_up(self, header: str, key: api_key.ApiKey) -> KnownKey:
        """The key of a header, which says `key`. Unauthenticated: it is not valid, in the same
        words for an unknown id and a wrong secret. Unavailable: nobody can tell now."""
        known = self._by_id.get(key.id) or await self._read_one(key.id)
        if known is None or not known.fits(key):
            raise Unauthenticated(INVALID)
        if not known.is_valid:
            raise known.refusal()
        self._check_age()
        known.header = header
        self._by_header[header] = known
        return known

    def some_exist(self) -> bool:
        """Whether a key was ever made. Unavailable: nobody can tell yet."""
        if self._any is None:
            raise Unavailable(f"the API keys cannot be read: {self._trouble}")
        return self._any

    @contextmanager
    def held(self, known: KnownKey) -> Iterator[None]:
        """A call of the task at hand, which ends when the key does. HodeiError: it has ended."""
        task = asyncio.current_task()
        assert task  # noqa: S101  gRPC runs each call as one
        call = _Call(task)
        known.calls.add(call)
        try:
            yield
        except asyncio.CancelledError:
            if call.error is None or task.uncancel():  # cancelled by others too
                raise
            raise call.error from None
        finally:
            known.calls.discard(call)

    async def _read_one(self, key_id: str) -> KnownKey | None:
        if self._trouble:
            raise Unavailable(f"the API keys cannot be read: {self._trouble}")
        found = await self._callers.run(
            lambda conn: api_keys.stored(conn, [key_id]), timeout_s=LOOK_UP_S, idempotent=True
        )
        if key_id not in found:
            return None
        if key_id not in self._by_id:  # nobody else has looked it up meanwhile
            self._make_room()
            self._by_id[key_id] = KnownKey(found[key_id])
        return self._by_id[key_id]

    def _make_room(self) -> None:
        if len(self._by_id) >= MOST_KNOWN:
            oldest = next((id_ for id_, one in self._by_id.items() if not one.calls), None)
            if oldest is None:
                raise Unavailable(f"this server knows {MOST_KNOWN} API keys already: try another")
            self._forget(oldest)

    def _forget(self, key_id: str) -> None:
        self._by_header.pop(self._by_id.pop(key_id).header, None)

    def _check_age(self) -> None:
        if time.monotonic() - self._read_at >= KEEP_S:
            raise Unavailable(f"the API keys could not be read for {KEEP_S:g} s: {self._trouble}")

    # ── reading again ──

    def key_was_made(self) -> None:
        """A key was made here: calls without one are answered accordingly from now on, not only
        when the keys have been read."""
        self._any = True
        self.wake()

    def wake(self) -> None:
        """Has the keys read at once: one was revoked, or the first one was made."""
        self._wake.set()

    async def run(self) -> None:
        """Reads the keys again, for ever."""
        while True:
            await self.read()
            try:
                async with asyncio.timeout(READ_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def read(self) -> None:
        """Reads the known keys, and ends the calls of those that are not valid any more. Trouble
        is logged once, until it has passed."""
        ids = [*self._by_id]
        used = [key_id for key_id in ids if self._by_id[key_id].used]
        try:
            async with asyncio.timeout(READ_EVERY_S + LOOK_UP_S):
                reading = await self._database.run(lambda conn: _read(conn, ids, used))
        except (*TROUBLE, TimeoutError) as error:
            is_late = isinstance(error, TimeoutError)
            words = "the database did not answer in time" if is_late else words_of(error)
            if not self._trouble:
                self._log.warning("API keys cannot be read: {}", words)
            self._trouble = words
        else:
            self._trouble, self._any = "", reading.any_exists
            self._read_at = time.monotonic()
            self._update_known(ids, reading.found)
        self._end_calls()

    def _update_known(self, ids: list[str], found: dict[str, Stored]) -> None:
        for key_id in ids:
            known = self._by_id.get(key_id)
            if known is None:
                continue
            if key_id in found:
                known.update(found[key_id])
            else:  # its row was deleted
                known.until = 0.0
                self._forget(key_id)
                _end_calls_of(known, Unauthenticated(INVALID))

    def _end_calls(self) -> None:
        too_old = time.monotonic() - self._read_at >= KEEP_S
        for known in self._by_id.values():
            if not known.is_valid:
                _end_calls_of(known, known.refusal())
            elif too_old:
                words = f"the API keys could not be read for {KEEP_S:g} s: {self._trouble}"
                _end_calls_of(known, Unavailable(words))


def _end_calls_of(known: KnownKey, error: HodeiError) -> None:
    for call in known.calls:
        call.end(error)


class _Reading(NamedTuple):
    """The known keys that there are still, by id, and whether a key was ever made."""

    found: dict[str, Stored]
    any_exists: bool


async def _read(conn: Connection, ids: list[str], used: list[str]) -> _Reading:
    if used:
        await api_keys.mark_used(conn, used)
    found = await api_keys.stored(conn, ids) if ids else {}
    return _Reading(found, await api_keys.any_exists(conn))
