"""What gRPC's health service says of this server.

`""` (and the services of callers): SERVING while the database is reachable and can be written.
`hodei.v1.WorkerService`: SERVING but for draining, so that no platform ends a server whose database
is away: its workers' streams stand through that.
"""

import asyncio
import time

from grpc_health.v1 import health, health_pb2
from loguru import logger

from hodei.flow.sweeps.sweeper import Sweeper
from hodei.protocol import hodei_pb2 as pb

OUTAGE_S = 5.0
"""Seconds without an answer of a database that can be written after which a server does not serve."""

LOOK_EVERY_S = 0.25
"""Seconds between two looks whether that is so."""

FOR_WORKERS = "hodei.v1.WorkerService"
SERVICES = [one.full_name for one in pb.DESCRIPTOR.services_by_name.values()]
FOR_CALLERS = ("", *(name for name in SERVICES if name != FOR_WORKERS))


class Health:
    """Follows the look of the sweeps, which reads and writes once a second."""

    def __init__(self, sweeper: Sweeper) -> None:
        self.servicer = health.aio.HealthServicer()
        self._sweeper = sweeper
        self._draining = False
        self._serving: bool | None = None
        self._has_served = False

    async def run(self) -> None:
        """Follows the state of the database, for ever."""
        await self._set((FOR_WORKERS,), serving=not self._draining)
        while True:
            reached = time.monotonic() - self._sweeper.looked_at < OUTAGE_S
            await self._say(serving=reached and not self._draining)
            await asyncio.sleep(LOOK_EVERY_S)

    async def drain(self) -> None:
        """Says that nothing new is to come to this server."""
        self._draining = True
        await self._set((FOR_WORKERS,), serving=False)
        await self._say(serving=False)

    async def _say(self, *, serving: bool) -> None:
        if serving == self._serving:
            return
        if self._has_served and not self._draining:
            words = "the database is back" if serving else "no database that can be written answers"
            logger.bind(component="Health").info(
                "{}: {}", words, "serving" if serving else "not serving"
            )
        self._serving = serving
        self._has_served = self._has_served or serving
        await self._set(FOR_CALLERS, serving=serving)

    async def _set(self, services: tuple[str, ...], *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        for service in services:
            await self.servicer.set(service, status.SERVING if serving else status.NOT_SERVING)
