"""Calls that block, in a thread of one's own, with a limit of time.

A call that does not come back holds its thread and nothing else: the next ones are refused until it
has, and the end of the program does not wait for it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from hodei.providers.contract import Unanswered

T = TypeVar("T")

CALL_S = 20.0
"""Seconds that one call may take."""


class Calls:
    """The calls to one engine, one after the other."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._pending: asyncio.Future[Any] | None = None

    async def run(self, call: Callable[[], T], within_s: float = CALL_S) -> T:
        """Returns what `call` returns, or raises what it raises. Unanswered: it takes too long, or
        the one before it still does."""
        if self._pending is not None and not self._pending.done():
            raise Unanswered(f"the engine at {self._place} has not answered an earlier call yet")
        loop = asyncio.get_running_loop()
        pending: asyncio.Future[T] = loop.create_future()
        pending.add_done_callback(_looked_at)
        self._pending = pending
        threading.Thread(
            target=_work, args=(loop, pending, call), name="provider call", daemon=True
        ).start()
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.shield(pending)
        except TimeoutError:
            words = f"the engine at {self._place} did not answer within {within_s:g} s"
            raise Unanswered(words) from None


def _work(
    loop: asyncio.AbstractEventLoop, pending: "asyncio.Future[T]", call: Callable[[], T]
) -> None:
    """Runs in the thread."""
    result: Any = None
    failed: Exception | None = None
    try:
        result = call()
    except Exception as error:  # noqa: BLE001  it is raised where the call was made
        failed = error

    def tell() -> None:
        if pending.done():
            return
        if failed is None:
            pending.set_result(result)
        else:
            pending.set_exception(failed)

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:
        return  # the loop is closed: the program ends


def _looked_at(pending: "asyncio.Future[Any]") -> None:
    """A failure that came too late for its caller is no news."""
    if not pending.cancelled():
        pending.exception()
