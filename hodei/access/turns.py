"""Turns: a call waits until there is room for it, and no caller takes all of the room.

A caller is a key, or an address that has none: behind one address, as that of a proxy, are many
keys, and one key may call from many addresses."""

import asyncio
from collections import deque

from hodei.access.principal import Caller
from hodei.domain.errors import Exhausted

WAIT_S = 10.0
"""Seconds after which a call that waits for its turn is refused."""


class Turns:
    """Room for an amount of work, half of it for one caller. Those who wait are served caller by
    caller, first those who hold least, and of a caller connection by connection: ten thousand calls
    of one caller delay a call of another one by one turn."""

    def __init__(self, what: str, room: int) -> None:
        self._what = what
        self._room = room
        self._free = room
        self._of_caller = max(1, room - room // 2)
        self._held: dict[str, int] = {}
        # By caller, and of each by connection, both in the order of their turns.
        self._waiting: dict[str, dict[str, deque[_Waiter]]] = {}

    def of(self, who: Caller, weight: int = 1) -> "Turn":
        """A turn for an `async with`. Exhausted: it did not come within WAIT_S. What weighs more
        than a caller may have waits until that caller has nothing."""
        return Turn(self, who, weight)

    def acquire_now(self, who: Caller, weight: int) -> bool:
        """Takes a turn if nobody waits and there is room; False: it has to be waited for."""
        if self._waiting or not self._fits(who.holder, weight):
            return False
        self._hold(who.holder, weight)
        return True

    def give_back(self, who: Caller, weight: int) -> None:
        """Ends a turn, and gives its room to those who wait."""
        self._release(who.holder, weight)
        if self._waiting:
            self._serve()

    def newcomers(self) -> int:
        """Callers who wait and hold nothing."""
        return sum(holder not in self._held for holder in self._waiting)

    def _fits(self, holder: str, weight: int) -> bool:
        held = self._held.get(holder, 0)
        enough = self._free >= weight or self._free == self._room
        return enough and (held + weight <= self._of_caller or not held)

    def _hold(self, holder: str, weight: int) -> None:
        self._held[holder] = self._held.get(holder, 0) + weight
        self._free -= weight

    def _release(self, holder: str, weight: int) -> None:
        self._free += weight
        left = self._held[holder] - weight
        if left:
            self._held[holder] = left
        else:
            del self._held[holder]

    async def wait(self, who: Caller, weight: int) -> None:
        """Waits for a turn and takes it. Exhausted: none came within WAIT_S."""
        waiter = _Waiter(weight)
        self._waiting.setdefault(who.holder, {}).setdefault(who.connection, deque()).append(waiter)
        self._serve()
        try:
            async with asyncio.timeout(WAIT_S):
                await waiter.served
        except BaseException as error:
            if waiter.served.done() and not waiter.served.cancelled():
                self._release(who.holder, weight)
            waiter.served.cancel()
            self._serve()
            if isinstance(error, TimeoutError):
                raise Exhausted(
                    f"this server is busy: {WAIT_S:g} s have passed without a turn {self._what};"
                    " try again in a moment, or another server"
                ) from None
            raise

    def _serve(self) -> None:
        """Gives turns while there is room. Of the callers that hold least, the first that may have
        one gets it, for its first connection; then both go to the end of their rounds."""
        served = True
        while served and self._free:
            served = False
            for holder in sorted(self._waiting, key=lambda holder: self._held.get(holder, 0)):
                if self._serve_one(holder):
                    served = True

    def _serve_one(self, holder: str) -> bool:
        """Gives a turn to one call of this caller. False: none of its calls fits, or none waits
        any more."""
        connections = self._waiting[holder]
        while connections:
            connection, waiters = next(iter(connections.items()))
            while waiters and waiters[0].served.done():  # it has left
                waiters.popleft()
            if not waiters:
                del connections[connection]
                continue
            if not self._fits(holder, waiters[0].weight):
                return False
            waiter = waiters.popleft()
            self._hold(holder, waiter.weight)
            waiter.served.set_result(None)
            del connections[connection]
            if waiters:
                connections[connection] = waiters
            del self._waiting[holder]
            if connections:
                self._waiting[holder] = connections
            return True
        del self._waiting[holder]
        return False


class Turn:
    """A turn is held within its block. It is a class, as a generator would take as long as all the
    rest of a short call."""

    __slots__ = ("_turns", "_weight", "_who")

    def __init__(self, turns: Turns, who: Caller, weight: int) -> None:
        self._turns = turns
        self._who = who
        self._weight = weight

    async def __aenter__(self) -> None:
        if not self._turns.acquire_now(self._who, self._weight):
            await self._turns.wait(self._who, self._weight)

    async def __aexit__(self, *error: object) -> None:
        self._turns.give_back(self._who, self._weight)


class _Waiter:
    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.served: asyncio.Future[None] = asyncio.get_running_loop().create_future()
