"""Whether another server serves, while the one that this worker is connected to cannot reach its
database.

A worker that stays there is silent to all others, and they give its jobs away. But where no server
reaches the database, nobody judges silence, and the stream stands until the database is back."""

import asyncio
import random
from collections.abc import Sequence

import grpc.aio
from loguru import logger

from hodei.protocol import hodei_pb2 as pb
from hodei.tls.address import Address
from hodei.tls.bad import BadTls
from hodei.tls.caller import Tls, open_channel
from hodei_worker.registration import CHANNEL_OPTIONS
from hodei_worker.stream_end import SentAway

LOOK_EVERY_S = 2.0
"""Seconds between two looks at all addresses."""

ANSWER_WITHIN_S = 2.0
"""Seconds within which a server must answer: one that does not is of no use."""

CONFIRM_S = 10.0
"""Seconds between the answer of a server that serves and leaving for it. When the database is back,
servers find it some seconds apart, because each tries again with a back-off; then this worker's own
server says so meanwhile. With the 10 s after which a server says that it is cut off, the worker is
elsewhere before others call it UNREACHABLE."""


class Elsewhere:
    """The look for another server. It belongs to one stream at a time."""

    def __init__(self, servers: Sequence[Address], tls: Tls) -> None:
        self._servers = servers
        self._tls = tls
        self._cut_off = asyncio.Event()
        self._reached = asyncio.Event()

    def read(self, frame: pb.ServerFrame) -> None:
        """Takes from a frame whether the server is cut off from its database, or no longer is."""
        if frame.cut_off and not self._cut_off.is_set():
            self._reached.clear()
            self._cut_off.set()
            logger.info("the server cannot reach its database: looking for another one that can")
        elif frame.reaches_database and self._cut_off.is_set():
            self._cut_off.clear()
            self._reached.set()
            logger.info("the server reaches its database again")

    async def look(self) -> None:
        """Raises SentAway once another server serves while this one still does not. Begins with the
        stream, for which it must not be known yet whether its server is cut off."""
        self._cut_off.clear()
        while True:
            await self._cut_off.wait()
            if await self._some_serve() and not await self._is_reached():
                raise SentAway("it cannot reach its database, and another server can")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _is_reached(self) -> bool:
        """Returns whether this worker's own server says so within CONFIRM_S."""
        try:
            async with asyncio.timeout(CONFIRM_S):
                return await self._reached.wait()
        except TimeoutError:
            return False

    async def _some_serve(self) -> bool:
        """Returns whether a server at any of the addresses says that it serves. A name may stand for
        several servers: which one answers is left to chance."""
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._serves(address))
                for address in random.sample(self._servers, len(self._servers))
            ]
            await asyncio.wait(asked)
        return any(task.result() for task in asked)

    async def _serves(self, address: Address) -> bool:
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        try:
            async with (
                asyncio.timeout(ANSWER_WITHIN_S),
                open_channel(grpc.aio, address, self._tls, CHANNEL_OPTIONS) as channel,
            ):
                answer = await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest()
                )
        except (grpc.aio.AioRpcError, BadTls, TimeoutError):
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
