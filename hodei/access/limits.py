"""What calls may take of a server, in all and for each caller, so that none takes it from the others.

A Quota refuses at once what is beyond it, for each address; Turns (turns.py) let a call wait, and
serve those who wait in turn, key by key. Both refuse with Exhausted: nothing was done, and the same
call may succeed in a moment or at another server. Workers' streams stand apart: what they send is
bounded by their frames and windows.

What clients can fill of our memory, each at most: 24 requests and 16 hellos that are being read, 4
MB each; 64 KiB of each call that waits to be read (rpc/options.WINDOW_BYTES); 96 MB of large
requests at work or waiting, and some ten times the 8 MB of those at work; 15 MB of each stream of
reflection; 48 MB of answers that are not taken, twice, and 8 KiB of each small one; 1 KB of each
job that is waited for (flow/ends.py); and pages of logs (flow/log_reader.py). Packets that gRPC
keeps for a part of a message are not bounded (docs/security.md, "Memory")."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

from hodei.access.principal import Caller, caller
from hodei.access.readings import Readings
from hodei.access.turns import Turn, Turns
from hodei.domain.errors import Exhausted
from hodei.store.database import CALL_TIMEOUT_S, Connection, Database

T = TypeVar("T")

SMALL_BYTES = 64 << 10
"""A request up to this size does not wait behind large ones."""

SMALLEST_WEIGHT = 4096
"""Bytes that a small request counts at least while it is worked on: what it takes in memory."""

MOST_READERS = 1_000
"""Readers of logs at one server. Beyond them a further one is refused."""

DATABASE_TURNS = 3
"""Connections of the pool that callers have at once, two of them for one key or address
(store/database.py)."""


class Quota:
    """An amount of `what` that callers may have in all, and a smaller one for each address. A call
    that finds it used up is refused at once. The last tenth in all is for addresses that have no more
    than a tenth of their own: two addresses of one hand cannot use up everything."""

    def __init__(self, what: str, most: int, of_address: int) -> None:
        self._what = what
        self._most = most
        self._of_address = of_address
        self._taken: dict[str, int] = {}
        self._in_all = 0

    def acquire(self, address: str, amount: int = 1) -> None:
        """Exhausted, in words: it is full, and nothing was taken."""
        mine = self._taken.get(address, 0)
        if mine + amount > self._of_address:
            raise Exhausted(
                f"{mine} {self._what} from this address already: expected at most"
                f" {self._of_address}; try again when one has ended"
            )
        has_few = mine + amount <= self._of_address // 10
        most = self._most if has_few else self._most - self._most // 10
        if self._in_all + amount > most:
            raise Exhausted(
                f"this server has {self._in_all} {self._what} already: expected at most"
                f" {most}; try again in a moment, or another server"
            )
        self._taken[address] = mine + amount
        self._in_all += amount

    def give_back(self, address: str, amount: int = 1) -> None:
        """Ends what `acquire` began."""
        self._in_all -= amount
        left = self._taken[address] - amount
        if left:
            self._taken[address] = left
        else:
            del self._taken[address]

    @contextmanager
    def held(self, address: str, amount: int = 1) -> Iterator[None]:
        """Takes the amount for the length of a block. Exhausted: as `acquire`."""
        self.acquire(address, amount)
        try:
            yield
        finally:
            self.give_back(address, amount)


class CallersDatabase:
    """The database for callers: they have at most DATABASE_TURNS of the pool's connections. The
    others are kept for claims, creates, results, logs and heartbeats."""

    def __init__(self, database: Database, turns: Turns) -> None:
        self._database = database
        self._turns = turns

    async def run(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        idempotent: bool = False,
    ) -> T:
        """Does as Database.run, when the caller at hand has its turn. Exhausted: it has none in
        time."""
        async with self.turn():
            return await self._database.run(work, timeout_s=timeout_s, idempotent=idempotent)

    def turn(self) -> Turn:
        """A turn of the caller at hand, for work that goes to the database by itself."""
        return self._turns.of(caller.get())


class Limits:
    """All that callers may take of one server."""

    def __init__(self, database: Database) -> None:
        self.calls = Quota("calls", 2_000, 1_000)
        # Apart from the others, so that callers without a key take nothing from those with one.
        self.open_calls = Quota("calls that need no key", 2_000, 400)
        self.health_watches = Quota("watches of health", 1_000, 200)
        # A stream of many questions, each as long as a message may be: 15 MB with its answer.
        self.reflections = Quota("streams of reflection", 8, 4)
        self.creates = Quota("creates", 2_000, 1_000)
        self.log_readers = Quota("log readers", MOST_READERS, 400)
        self.waits = Quota("waits for jobs", 1_000, 400)
        self.jobs_waited_for = Quota("jobs that are waited for", 50_000, 20_000)
        self.worker_streams = Quota("workers' streams", 4_000, 2_000)
        # Apart from them, as anybody may open one: who says nothing takes no worker's place.
        self.greetings = Quota("streams that have said no hello", 2_000, 400)
        self.large = Quota("bytes of large requests", 96 << 20, 64 << 20)
        self.answers = Quota("bytes of answers that are not taken", 48 << 20, 24 << 20)
        self.reading = Turns("to be read", 16)
        self.reading_open = Turns("to be read", 8)
        self.readings = Readings()
        self.hellos = Turns("to say hello", 16)
        self.long_lists = asyncio.Lock()
        self.small_at_work = Turns("to be worked on", 16 << 20)
        self.large_at_work = Turns("to be worked on", 8 << 20)
        self.database = CallersDatabase(database, Turns("at the database", DATABASE_TURNS))

    def at_work(self, who: Caller, size: int) -> AbstractAsyncContextManager[None]:
        """A turn to be worked on, for a request of `size` bytes that was read."""
        if size <= SMALL_BYTES:
            return self.small_at_work.of(who, max(size, SMALLEST_WEIGHT))
        return self._large_at_work(who, size)

    @asynccontextmanager
    async def _large_at_work(self, who: Caller, size: int) -> AsyncIterator[None]:
        with self.large.held(who.address, size):
            async with self.large_at_work.of(who, size):
                yield
