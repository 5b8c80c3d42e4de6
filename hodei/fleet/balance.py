"""Workers spread over the servers again after a deploy or a failure sent them all to the few that stood.

No server knows the others' streams: it compares its own number with its fair share of all connected workers, and asks some of the surplus
to connect anew, to any other of their addresses. What they run, runs on.
"""

import asyncio
import math
import random

from loguru import logger

from hodei.fleet.presence import GoAway, Presence
from hodei.store import server
from hodei.store.database import TROUBLE, Database

LOOK_EVERY_S = 10.0

SLACK = 1.25
"""How far above its fair share a server may be before it sends anybody away: else workers would wander for ever."""

SPREAD_S = 2.0
"""Within which those who are sent away leave."""


class Balancer:
    def __init__(self, database: Database, presence: Presence) -> None:
        self._database = database
        self._presence = presence

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311  servers must not act as one
            if len(self._presence) == 0:
                continue
            try:
                found = await self._database.run(server.count)
            except TROUBLE:
                continue
            self._send_away(surplus(len(self._presence), found.connected_workers, found.servers))

    def _send_away(self, number: int) -> None:
        streams = list(self._presence)
        for stream in random.sample(streams, min(number, len(streams))):
            stream.send(GoAway(random.uniform(0, SPREAD_S), "workers are spread over the servers"))  # noqa: S311
        if number:
            logger.bind(component="WorkerMonitor").info("{} of {} workers are sent to other servers", number, len(streams))


def surplus(mine: int, connected: int, servers: int) -> int:
    """How many of this server's workers to send away: half of what is above its share, so that several servers do not overdo it."""
    if servers < 2:
        return 0
    share = math.ceil(connected / servers)
    return math.ceil((mine - share) / 2) if mine > share * SLACK else 0
