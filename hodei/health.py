"""What gRPC's health service says of this server.

`""` (and the services of callers): SERVING while the database is reachable and can be written.
`hodei.v1.WorkerService`: SERVING but for draining, so that no platform ends a server whose database
is away: its workers' streams stand through that.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from loguru import logger

from hodei.domain.errors import NotFound
from hodei.flow.sweeps.sweeper import Sweeper
from hodei.protocol import hodei_pb2 as pb

OUTAGE_S = 5.0
"""Seconds without an answer of a database that can be written after which a server does not serve."""

LOOK_EVERY_S = 0.25
"""Seconds between two looks whether that is so."""

FOR_WORKERS = "hodei.v1.WorkerService"
SERVICES = [one.full_name for one in pb.DESCRIPTOR.services_by_name.values()]
FOR_CALLERS = ("", *(name for name in SERVICES if name != FOR_WORKERS))


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # it has no types
    """The health service of gRPC. That of grpc_health holds a lock while it writes to who watches:
    one client that takes no answer kept each change from everybody, and a server from draining."""

    def __init__(self) -> None:
        self._statuses: dict[str, health_pb2.HealthCheckResponse.ServingStatus] = {}
        self._changed = asyncio.Event()  # set and replaced at each change

    def set(self, services: Iterable[str], *, serving: bool) -> None:
        """Changes what is said of these services, and tells who watches them."""
        status = health_pb2.HealthCheckResponse
        said = status.SERVING if serving else status.NOT_SERVING
        self._statuses.update(dict.fromkeys(services, said))
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            raise NotFound(
                f"no service {request.service!r:.200}: expected the name of one, or none"
            )
        return health_pb2.HealthCheckResponse(status=status)

    async def List(
        self, request: health_pb2.HealthListRequest, context: Any
    ) -> health_pb2.HealthListResponse:
        answers = {
            name: health_pb2.HealthCheckResponse(status=said)
            for name, said in self._statuses.items()
        }
        return health_pb2.HealthListResponse(statuses=answers)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """A client that takes its answers late misses what was said between them."""
        unknown, told = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN, None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, unknown)
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
            await changed.wait()


class Health:
    """Follows the look of the sweeps, which reads and writes once a second."""

    def __init__(self, sweeper: Sweeper) -> None:
        self.service = HealthService()
        self.service.set((FOR_WORKERS,), serving=True)
        self.service.set(FOR_CALLERS, serving=False)
        self._sweeper = sweeper
        self._draining = False
        self._serving: bool | None = None
        self._has_served = False

    async def run(self) -> None:
        """Follows the state of the database, for ever."""
        while True:
            reached = time.monotonic() - self._sweeper.looked_at < OUTAGE_S
            self._say(serving=reached and not self._draining)
            await asyncio.sleep(LOOK_EVERY_S)

    def drain(self) -> None:
        """Says that nothing new is to come to this server."""
        self._draining = True
        self.service.set((FOR_WORKERS,), serving=False)
        self._say(serving=False)

    def _say(self, *, serving: bool) -> None:
        if serving == self._serving:
            return
        if self._has_served and not self._draining:
            words = "the database is back" if serving else "no database that can be written answers"
            logger.bind(component="Health").info(
                "{}: {}", words, "serving" if serving else "not serving"
            )
        self._serving = serving
        self._has_served = self._has_served or serving
        self.service.set(FOR_CALLERS, serving=serving)
