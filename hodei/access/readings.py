"""Readings: each request is read within a time, and while turns are short nobody keeps several of
them with requests that come slowly."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable
from typing import Any, NamedTuple, TypeVar

from hodei.access.principal import Caller
from hodei.access.turns import Turns
from hodei.domain.errors import Exhausted, Invalid

T = TypeVar("T")

LOOK_S = 0.25
"""Seconds between two looks at what is being read."""

SLOW_S = 0.5
"""Seconds after which a reading is slow: 4 MiB at 67 Mbit/s."""

_LATE = "the request is late"
_SLOW = "the request is slow, and others wait"


class _Reading(NamedTuple):
    turns: Turns
    holder: str
    begun: float
    late_at: float


class Readings:
    """The requests that are being read. They are looked at all together: a timer for each would cost
    a lone create 2 %."""

    def __init__(self) -> None:
        # By loop task, the oldest first; bounded by the turns to be read.
        self._under_way: dict[asyncio.Task[Any], _Reading] = {}

    async def run(self) -> None:
        """Ends the readings that take too long, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._under_way:
                self._look(time.monotonic())

    async def within_time(
        self, read: Awaitable[T], within_s: float, turns: Turns, who: Caller
    ) -> T:
        """Returns what `read` returns, in a turn that this caller holds. Invalid: it took longer, by
        up to LOOK_S. Exhausted: it was slow, and its turn is for somebody who has none."""
        task = asyncio.current_task()
        assert task  # noqa: S101  gRPC runs each call as one
        begun = time.monotonic()
        self._under_way[task] = _Reading(turns, who.holder, begun, begun + within_s)
        try:
            return await read
        except asyncio.CancelledError as error:
            if error.args not in ((_LATE,), (_SLOW,)) or task.uncancel():  # cancelled by others too
                raise
            if error.args == (_LATE,):
                raise Invalid(f"the request did not come whole within {within_s:g} s") from None
            raise Exhausted(
                f"this server is busy: the request did not come whole within {SLOW_S:g} s, and its"
                " turn was given to others; try again in a moment, or another server"
            ) from None
        finally:
            self._under_way.pop(task, None)

    def _look(self, now: float) -> None:
        for task, one in list(self._under_way.items()):
            if one.late_at < now:
                self._end(task, _LATE)
        for turns in {one.turns for one in self._under_way.values()}:
            for _ in range(turns.newcomers()):
                self._end_a_slow_one(turns, now)

    def _end_a_slow_one(self, turns: Turns, now: float) -> None:
        """Ends the oldest slow reading of whoever holds the most turns. A holder's last one goes on:
        what is large and comes over a slow link is refused only to those who send several."""
        here = [(task, one) for task, one in self._under_way.items() if one.turns is turns]
        held = Counter(one.holder for _task, one in here)
        slow = [
            (held[one.holder], task)
            for task, one in here
            if held[one.holder] > 1 and now - one.begun > SLOW_S
        ]
        if slow:
            self._end(max(slow, key=lambda pair: pair[0])[1], _SLOW)

    def _end(self, task: asyncio.Task[Any], why: str) -> None:
        """Once: it is under way no longer."""
        del self._under_way[task]
        task.cancel(why)
