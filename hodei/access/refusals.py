"""Calls that are refused for want of a valid key are slowed, so that nobody tries keys at speed; a
right key never waits."""

import asyncio
import time

from hodei.domain.errors import Exhausted

PAUSE_S = 0.25
"""Seconds that a refusal takes at least."""

A_SECOND = 10
"""Refusals of one address within a second. A further one is answered at once, with Exhausted."""

MOST_ADDRESSES = 10_000
"""Addresses that are counted apart. Beyond them all others are counted as one."""


class Refusals:
    """The refusals of the current second, by the address of the caller."""

    def __init__(self) -> None:
        self._second = 0
        self._counted: dict[str, int] = {}

    async def slow_down(self, address: str) -> None:
        """Waits before a call of this address is refused. Exhausted: it is refused too often."""
        now = int(time.monotonic())
        if now != self._second:
            self._second, self._counted = now, {}
        if address not in self._counted and len(self._counted) >= MOST_ADDRESSES:
            address = ""
        self._counted[address] = self._counted.get(address, 0) + 1
        if self._counted[address] > A_SECOND:
            raise Exhausted(
                f"more than {A_SECOND} calls from this address were refused within a second for"
                " want of a valid API key; try again in a second, with a valid key"
            )
        await asyncio.sleep(PAUSE_S)
