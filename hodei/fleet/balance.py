"""Workers are spread over the servers again after a deploy or a failure has sent them all to the few
that stood.

A server compares the number of its workers with that of the servers that they can get to, and asks
some of the surplus to connect anew, to any other of their addresses. What they run, runs on. A
worker that has nowhere else to go is never sent away, and a server that no worker lists counts for
no share.
"""

import asyncio
import math
import random
from collections.abc import Sequence

from loguru import logger

from hodei.fleet.messages import GoAway
from hodei.fleet.presence import Presence
from hodei.fleet.reach import others
from hodei.store import server
from hodei.store.database import TROUBLE, Database
from hodei.store.server import Live

LOOK_EVERY_S = 10.0
"""Seconds between two looks, on the average."""

SLACK = 1.25
"""How many times its fair share a server may have before it sends workers away: with less they would
wander for ever."""

SPREAD_S = 2.0
"""Seconds within which those that are sent away leave, spread at random."""


class Balancer:
    def __init__(self, database: Database, presence: Presence) -> None:
        self._database = database
        self._presence = presence

    async def run(self) -> None:
        """Looks and sends workers away, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311  servers must not act as one
            if len(self._presence) == 0:
                continue
            try:
                found = await self._database.run(server.live)
            except TROUBLE:
                continue
            self._send_away({one.id: one for one in found})

    def _send_away(self, live: dict[str, Live]) -> None:
        streams = list(self._presence)
        now = asyncio.get_running_loop().time()
        me = str(self._presence.server_id)
        fair = [share(len(streams), others(stream.addresses, me, live, now)) for stream in streams]
        chosen = surplus(len(streams), fair)
        for place in chosen:
            after_s = random.uniform(0, SPREAD_S)  # noqa: S311
            streams[place].send(GoAway(after_s, "workers are spread over the servers"))
        if chosen:
            logger.bind(component="WorkerMonitor").info(
                "{} of {} workers are sent to other servers", len(chosen), len(streams)
            )


def share(mine: int, reachable: Sequence[Live]) -> int | None:
    """Returns how many workers a server with `mine` of them had if all were spread over it and the
    others that a worker can get to. None: it can get to no other."""
    if not reachable:
        return None
    return math.ceil((mine + sum(other.workers for other in reachable)) / (1 + len(reachable)))


def surplus(mine: int, fair: Sequence[int | None]) -> list[int]:
    """The workers to send away, as places in `fair`, which has the fair share for each of them: half
    of what is above it, so that several servers do not overdo it."""
    movable = {
        place: one for place, one in enumerate(fair) if one is not None and mine > one * SLACK
    }
    if not movable:
        return []
    number = math.ceil((mine - max(movable.values())) / 2)
    return random.sample(sorted(movable), min(number, len(movable)))
