"""The guard around all work for one job: an exception ends that job and nothing else."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any


class Guard:
    """Calls an action with its arguments. If it raises, `fail` gets the exception; `fail` must not
    raise."""

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._fail = fail

    def __call__(self, action: Callable[..., object], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001  whatever it is: the other jobs go on
            self._fail(error)

    def wrap(self, action: Callable[..., object], *arguments: Any) -> Callable[..., None]:
        """Returns the action as a callback that never raises."""
        return functools.partial(self, action, *arguments)


class Timers:
    """Delayed actions of one job, each under the guard. `cancel` cancels all of them."""

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
