"""The tasks of this process: children of one task group, which can be cancelled together. An error of
one task ends no other."""

import asyncio
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def log_error(error: Exception) -> None:
    traceback.print_exception(error, file=sys.stderr)
    sys.stderr.flush()


class Tasks:
    """The tasks that run now."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: set[asyncio.Task[Any]] = set()

    def start(
        self, work: Coroutine[Any, Any, T], on_error: Callable[[Exception], None] = log_error
    ) -> "asyncio.Task[T | None]":
        """`on_error` gets an exception of the work, whose result is None then."""
        task = self._group.create_task(_guarded(work, on_error))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    @property
    def empty(self) -> bool:
        return not self._running

    def cancel_all(self) -> None:
        for task in list(self._running):
            task.cancel()


async def _guarded(work: Coroutine[Any, Any, T], on_error: Callable[[Exception], None]) -> T | None:
    try:
        return await work
    except Exception as error:  # noqa: BLE001  whatever it is: the other tasks go on
        on_error(error)
        return None
