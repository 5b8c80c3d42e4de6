"""The loops of a server are started again when one dies: what one request carries must not end the
process."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from loguru import logger

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Seconds before a loop that died is started again: doubled each time, and the first again after a
minute of life."""

MOST_DEATHS, WITHIN_S = 10, 60.0
"""A loop that dies 10 times within 60 s is unsound: the server ends."""

EXIT_UNSOUND = 70
"""Exit code of a server that ends for that, or that was asked to end and did not (EX_SOFTWARE of
sysexits.h)."""


class Unsound(Exception):
    """A loop of this server dies again and again."""


async def keep_running(name: str, service: Callable[[], Awaitable[None]]) -> None:
    """Runs a service for ever, again when it dies. Unsound: it has died too often."""
    deaths: deque[float] = deque(maxlen=MOST_DEATHS)
    pause_s = FIRST_PAUSE_S
    while True:
        begun = time.monotonic()
        try:
            await service()
            reason: str | Exception = "it returned"
        except Exception as error:  # noqa: BLE001  whatever it is, the others go on
            reason = error
            logger.opt(exception=error).error("the loop {} died", name)
        now = time.monotonic()
        deaths.append(now)
        if len(deaths) == MOST_DEATHS and now - deaths[0] < WITHIN_S:
            raise Unsound(
                f"the loop {name} died {MOST_DEATHS} times within {WITHIN_S:g} s: {reason}"
            )
        pause_s = FIRST_PAUSE_S if now - begun > WITHIN_S else pause_s
        logger.warning("the loop {} is started again in {:g} s", name, pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def start(
    group: asyncio.TaskGroup,
    services: Mapping[str, Callable[[], Awaitable[None]]],
    when_unsound: Callable[[Unsound], None],
) -> list[asyncio.Task[None]]:
    """Starts all services in the group, by name. `when_unsound` is called, once, when one gives
    up."""

    async def watched(name: str, service: Callable[[], Awaitable[None]]) -> None:
        try:
            await keep_running(name, service)
        except Unsound as unsound:
            logger.critical("{}: this server stops claiming and ends", unsound)
            when_unsound(unsound)

    return [group.create_task(watched(name, service)) for name, service in services.items()]
