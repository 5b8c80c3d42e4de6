"""How a server is asked to stop: the first signal asks it to drain, the second to end at once. If it
then does not end by itself, it is ended."""

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable

from loguru import logger

from hodei.domain.errors import HodeiError
from hodei.services import EXIT_UNSOUND

TELL_WITHIN_S = 2.0
"""Seconds for the last lines of a server. It may be stuck because nobody takes what it logs."""


def end_after(most_s: float) -> None:
    """Ends this process that many seconds from now, unless it has ended by then, with the exit code of
    an unsound one, and logs where each thread is. No job is lost by that: the database has each
    change of state, and workers go on with another server.

    (faulthandler does nearly this, but its lines are no JSON.)"""

    def tell() -> None:
        logger.critical(
            "this server has not ended {:g} s after it was asked to: it ends now", most_s
        )
        for number, frame in sys._current_frames().items():
            for place in traceback.extract_stack(frame):
                logger.critical("thread {}: {}:{}", number, place.filename, place.lineno)

    def end() -> None:
        telling = threading.Thread(target=tell, daemon=True)
        telling.start()
        telling.join(TELL_WITHIN_S)
        os._exit(EXIT_UNSOUND)

    timer = threading.Timer(most_s, end)
    timer.daemon = True
    timer.start()


class Stop:
    """The requests to stop that have come."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.asked_twice = asyncio.Event()

    def listen_to_signals(self) -> None:
        """Takes SIGTERM and SIGINT of this process as requests."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """One more request."""
        (self.asked_twice if self.asked.is_set() else self.asked).set()

    async def first_of(self, work: Awaitable[None], *, again: bool = False) -> bool:
        """Awaits work, unless a request comes first (with `again`: the second one). False: it came,
        and work was cancelled. HodeiError: work's own."""
        event = self.asked_twice if again else self.asked

        async def until_asked(task: asyncio.Task[None]) -> None:
            await event.wait()
            task.cancel()

        async def do() -> None:
            await work

        failed: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(do())
                watcher = group.create_task(until_asked(task))
                await asyncio.wait({task})
                watcher.cancel()
        except* HodeiError as errors:
            failed = errors.exceptions[0]
        if failed:
            raise failed from None
        return not task.cancelled()
