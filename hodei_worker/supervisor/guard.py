"""The net under all that is done for one job: what an action of it throws ends that job, and
nothing that jobs share."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any


class Guard:
    """Called with an action and its arguments; hands what the action throws to `fail`, which must
    not throw."""

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._fail = fail

    def __call__(self, action: Callable[..., object], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001  whatever it is: the other jobs go on
            self._fail(error)

    def wrap(self, action: Callable[..., object], *arguments: Any) -> Callable[..., None]:
        """The action as a callback that throws nothing."""
        return functools.partial(self, action, *arguments)


class Timers:
    """Actions to come, each under the guard; all of them end with `cancel`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []

    def call_after(self, seconds: float, action: Callable[..., object], *arguments: Any) -> None:
        self._timers.append(self._loop.call_later(seconds, self._guard, action, *arguments))

    def cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
