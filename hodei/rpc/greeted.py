"""How a worker's stream is read: its hello in turn and within a time, and long lists one by one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio
from google.protobuf.message import DecodeError

from hodei.access.limits import Limits
from hodei.access.principal import Caller
from hodei.domain.errors import Invalid
from hodei.protocol import hodei_pb2 as pb
from hodei.rpc.counted import when_over
from hodei.rpc.receiving import HELLO_READ_S

Context = grpc.aio.ServicerContext[Any, Any]

FEW_HELD = 1_000
"""Leases of a hello or a heartbeat that waits for no other: it takes 4 ms."""

REST_OF_LEASE_S = 13e-6
"""Seconds of rest for each lease of a longer one: three times as long as the work (rests.py)."""


class Greeted:
    """The context of a worker's stream. Its first message is read in turn and within a time, and the
    stream counts as a worker's from then on: before, nothing is known of who opened it. Messages
    that list many leases are worked on one by one, whoever says them."""

    def __init__(self, context: Context, limits: Limits, who: Caller) -> None:
        self._context = context
        self._limits = limits
        self._who = who
        self.read: Callable[[], Awaitable[Any]] = self._read_first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def _read_first(self) -> Any:
        limits, address = self._limits, self._who.address
        with limits.greetings.held(address):
            async with limits.hellos.of(self._who):
                first = await limits.readings.within_time(
                    self._read_one(), HELLO_READ_S, limits.hellos, self._who
                )
                # Before its credential is known to be good.
                await self._wait_for_others(first)
        limits.worker_streams.acquire(address)
        when_over(self._context, limits.worker_streams, address, 1)
        self.read = self._read_next
        return first

    async def _read_next(self) -> Any:
        message = await self._read_one()
        await self._wait_for_others(message)
        return message

    async def _wait_for_others(self, message: Any) -> None:
        """A message that lists many leases comes after the one before and a rest."""
        if not isinstance(message, pb.WorkerFrame):
            return
        held = len(message.hello.held) + len(message.heartbeat.held)
        if held > FEW_HELD:
            async with self._limits.long_lists:
                await asyncio.sleep(held * REST_OF_LEASE_S)

    async def _read_one(self) -> Any:
        """The next message, or gRPC's word for the end. Invalid: bytes that are no message."""
        try:
            return await self._context.read()
        except DecodeError:
            raise Invalid(
                "expected a message of this call's type, got bytes that do not parse"
            ) from None
