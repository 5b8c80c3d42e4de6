"""What calls may take of a server, in all and for each address, so that no caller takes it from the
others.

A Quota refuses at once what is beyond it; Turns let wait, and serve who waits in turn. Both refuse
with Exhausted (RESOURCE_EXHAUSTED): nothing was done, and the same call may succeed in a moment or
at another server. Workers' streams stand apart: what they send is bounded by their frames and
windows.

What clients can fill of our memory, each at most: 16 requests and 16 hellos that are being read, 4
MB each; 64 KiB of each call that waits to be read (options.WINDOW_BYTES); 96 MB of large requests
at work or waiting, and some ten times the 8 MB of those at work; 48 MB of answers that are not
taken, twice, and 8 KiB of each small one; and pages of logs (flow/log_reader.py)."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar

from hodei.domain.errors import Exhausted, HodeiError, Invalid
from hodei.flow.log_reader import MOST_READERS
from hodei.rpc.principal import Caller, caller
from hodei.store.database import CALL_TIMEOUT_S, Connection, Database

T = TypeVar("T")

WAIT_S = 10.0
"""Longest wait for a turn; then the call is refused."""

READ_S = 10.0
"""A request that has not come whole by then is refused: 4 MiB at 3.5 Mbit/s."""

LATE = "the request is late"

SMALL_BYTES = 64 << 10
"""A request up to this size does not wait behind large ones."""


class Quota:
    """So much of `what` in all, and for each address; whoever finds it full is refused at once."""

    def __init__(self, what: str, most: int, of_address: int) -> None:
        self._what = what
        self._most = most
        self._of_address = of_address
        self._taken: dict[str, int] = {}
        self._in_all = 0

    def take(self, address: str, amount: int = 1) -> None:
        """Exhausted, in words, and nothing is taken."""
        mine = self._taken.get(address, 0)
        if mine + amount > self._of_address:
            raise Exhausted(
                f"{mine} {self._what} from this address already: expected at most {self._of_address}; try again when one has ended"
            )
        if self._in_all + amount > self._most:
            raise Exhausted(
                f"this server has {self._in_all} {self._what} already: expected at most {self._most}; "
                "try again in a moment, or another server"
            )
        self._taken[address] = mine + amount
        self._in_all += amount

    def give_back(self, address: str, amount: int = 1) -> None:
        self._in_all -= amount
        left = self._taken[address] - amount
        if left:
            self._taken[address] = left
        else:
            del self._taken[address]


class Turns:
    """Room for so much at once, half of it for one address. Who waits is served address by address,
    and of an address connection by connection: ten thousand calls of one delay the next of another
    by one."""

    def __init__(self, what: str, room: int) -> None:
        self._what = what
        self._room = room
        self._free = room
        self._of_address = max(1, room - room // 2)
        self._held: dict[str, int] = {}
        self._waiting: dict[
            str, dict[str, deque[_Waiter]]
        ] = {}  # by address, by connection: in turn

    def of(self, who: Caller, weight: int = 1) -> "_Turn":
        """For an `async with`. Exhausted after WAIT_S. What weighs more than an address may have
        waits until it has nothing."""
        return _Turn(self, who, weight)

    def take_now(self, who: Caller, weight: int) -> bool:
        if self._waiting or not self._fits(who.address, weight):
            return False
        self._hold(who.address, weight)
        return True

    def give_back(self, who: Caller, weight: int) -> None:
        self._let_go(who.address, weight)
        if self._waiting:
            self._serve()

    def _fits(self, address: str, weight: int) -> bool:
        held = self._held.get(address, 0)
        enough = self._free >= weight or self._free == self._room
        return enough and (held + weight <= self._of_address or not held)

    def _hold(self, address: str, weight: int) -> None:
        self._held[address] = self._held.get(address, 0) + weight
        self._free -= weight

    def _let_go(self, address: str, weight: int) -> None:
        self._free += weight
        left = self._held[address] - weight
        if left:
            self._held[address] = left
        else:
            del self._held[address]

    async def wait(self, who: Caller, weight: int) -> None:
        waiter = _Waiter(weight)
        self._waiting.setdefault(who.address, {}).setdefault(who.connection, deque()).append(waiter)
        self._serve()
        try:
            async with asyncio.timeout(WAIT_S):
                await waiter.served
        except BaseException as error:
            if waiter.served.done() and not waiter.served.cancelled():
                self._let_go(who.address, weight)
            waiter.served.cancel()
            self._serve()
            if isinstance(error, TimeoutError):
                raise Exhausted(
                    f"this server is busy: {WAIT_S:g} s have passed without a turn {self._what}; try again in a moment, or another server"
                ) from None
            raise

    def _serve(self) -> None:
        """Gives turns while there is room: the first address that may have one, its first
        connection; both go to the end of their rounds."""
        served = True
        while served and self._free:
            served = False
            for address in list(self._waiting):
                if self._serve_one(address):
                    served = True

    def _serve_one(self, address: str) -> bool:
        connections = self._waiting[address]
        while connections:
            connection, waiters = next(iter(connections.items()))
            while waiters and waiters[0].served.done():  # it has left
                waiters.popleft()
            if not waiters:
                del connections[connection]
                continue
            if not self._fits(address, waiters[0].weight):
                return False
            waiter = waiters.popleft()
            self._hold(address, waiter.weight)
            waiter.served.set_result(None)
            del connections[connection]
            if waiters:
                connections[connection] = waiters
            del self._waiting[address]
            if connections:
                self._waiting[address] = connections
            return True
        del self._waiting[address]
        return False


class _Turn:
    """Held within its block. A class: a generator for each call would take as long as the rest of
    it."""

    __slots__ = ("_turns", "_weight", "_who")

    def __init__(self, turns: Turns, who: Caller, weight: int) -> None:
        self._turns = turns
        self._who = who
        self._weight = weight

    async def __aenter__(self) -> None:
        if not self._turns.take_now(self._who, self._weight):
            await self._turns.wait(self._who, self._weight)

    async def __aexit__(self, *error: object) -> None:
        self._turns.give_back(self._who, self._weight)


class _Waiter:
    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.served: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Readings:
    """The requests that are being read, each for READ_S at most. One look a second at all of them:
    a timer for each would cost a lone create 2 %."""

    def __init__(self) -> None:
        self._begun: dict[asyncio.Task[Any], float] = {}  # bounded by the turns to be read

    async def run(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            late = time.monotonic() - READ_S
            for task, begun in list(self._begun.items()):
                if begun < late:
                    task.cancel(LATE)

    async def within_time(self, read: Awaitable[T]) -> T:
        """Invalid: it took too long."""
        task = asyncio.current_task()
        assert task  # noqa: S101  gRPC runs each call as one
        self._begun[task] = time.monotonic()
        try:
            return await read
        except asyncio.CancelledError as error:
            if error.args != (LATE,) or task.uncancel():  # cancelled by others too
                raise
            raise Invalid(f"the request did not come whole within {READ_S:g} s") from None
        finally:
            del self._begun[task]


class Shared(Generic[T]):
    """One reading of the database for all who ask while the one before is under way. Nobody gets
    what was read before they asked, and nothing is kept when nobody asks."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._begun = self._ended = 0  # readings, counted
        self._asking = 0
        self._value: T | None = None
        self._error: HodeiError | None = None

    async def get(self) -> T:
        begun = self._begun
        self._asking += 1
        try:
            async with self._lock:
                if self._ended <= begun:
                    await self._renew()
                if self._error:
                    raise self._error
                return self._value  # type: ignore[return-value]
        finally:
            self._asking -= 1
            if not self._asking:
                self._value = self._error = None

    async def _renew(self) -> None:
        self._begun += 1
        number = self._begun
        self._value = self._error = None
        try:
            self._value = await self._read()
        except HodeiError as error:  # all who wait for this reading share its failure
            self._error = error
        self._ended = number


class ForCallers:
    """The database for whoever calls: at most DATABASE_TURNS of the pool's connections, whatever
    clients do; the others are kept for claims, creates, results, logs and heartbeats."""

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
        async with self.turn():
            return await self._database.run(work, timeout_s=timeout_s, idempotent=idempotent)

    def turn(self) -> _Turn:
        """For what goes to the database by itself."""
        return self._turns.of(caller.get())


DATABASE_TURNS = 3
"""Of the pool's connections (store/database.py); two of them for one address."""


class Limits:
    """Of one server."""

    def __init__(self, database: Database) -> None:
        self.calls = Quota("calls", 2_000, 1_000)
        self.creates = Quota("creates", 2_000, 1_000)
        self.log_readers = Quota("log readers", MOST_READERS, 400)
        self.worker_streams = Quota("workers' streams", 4_000, 2_000)
        self.large = Quota("bytes of large requests", 96 << 20, 64 << 20)
        self.answers = Quota("bytes of answers that are not taken", 48 << 20, 24 << 20)
        self.reading = Turns("to be read", 16)
        self.readings = Readings()
        self.hellos = Turns("to say hello", 16)
        self.small_at_work = Turns("to be worked on", 16 << 20)
        self.large_at_work = Turns("to be worked on", 8 << 20)
        self.database = ForCallers(database, Turns("at the database", DATABASE_TURNS))

    def at_work(self, who: Caller, size: int) -> AbstractAsyncContextManager[None]:
        """Of a request that was read. A small one weighs at least 4 KiB: that is what it takes in
        memory."""
        if size <= SMALL_BYTES:
            return self.small_at_work.of(who, max(size, 4096))
        return self._large_at_work(who, size)

    @asynccontextmanager
    async def _large_at_work(self, who: Caller, size: int) -> AsyncIterator[None]:
        self.large.take(who.address, size)
        try:
            async with self.large_at_work.of(who, size):
                yield
        finally:
            self.large.give_back(who.address, size)
