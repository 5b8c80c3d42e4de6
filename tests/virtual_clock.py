"""An event loop whose clock jumps to the next timer as soon as nothing else is to be done: minutes
of pauses take no time, and come in the same order each time."""

import asyncio
import selectors
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Asked to wait, looks once and moves the clock by as much."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0 if timeout is None or timeout > 0 else timeout)
        if timeout is None and not ready:
            raise RuntimeError("every task waits for another: nothing will ever happen")
        if not ready and timeout:
            self.now += max(0.0, timeout)
        return ready


def run(story: Awaitable[T]) -> T:
    """As asyncio.run, on such a clock, which begins at 0."""

    async def main() -> T:
        return await story

    selector = _Jumping()

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.SelectorEventLoop(selector)
        loop.time = lambda: selector.now  # type: ignore[method-assign]
        return loop

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main())
