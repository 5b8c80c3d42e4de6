"""How the one request of a call is received: when its turn has come, within a time, and up to a
length."""

import asyncio
from typing import Any

import grpc.aio

from hodei.access.limits import Limits
from hodei.access.principal import Caller
from hodei.access.roles import LEAST, Role
from hodei.domain.errors import Invalid
from hodei.rpc.options import MESSAGE_BYTES

LARGE_REQUESTS = ("CreateJobs", "FindJobs", "CancelJobs", "RetryJobs")
"""Calls whose request waits for a turn to be worked on: it may take long, or much memory."""

REQUEST_BYTES = 16 << 10
"""Bytes of any other request than LONG_REQUESTS has."""

LONG_REQUESTS = {
    "CreateJobs": MESSAGE_BYTES,
    "FindJobs": 512 << 10,
    "CancelJobs": 512 << 10,
    "RetryJobs": 1 << 20,
    "WaitJobs": 64 << 10,
    "SetSecret": 72 << 10,
}
"""Bytes of calls whose request is longer: ten thousand ids or pairs of them, a thousand ids, a
value of 64 KiB. A map of labels that fills 4 MB takes 2 s to parse, in which nothing else is done."""

READ_S = 10.0
"""Seconds within which a request has to come whole: 4 MiB at 3.5 Mbit/s."""

OPEN_READ_S = 2.0
"""The same for a call that needs no key, whose request is short."""

HELLO_READ_S = 3.0
"""The same for a worker's hello once its turn has come: some 20 KB, and 40 bytes for each lease."""

LEFT_S = 0.05
"""Seconds within which gRPC cancels the call of a client that has left: one that sends no request has
left, as a rule."""

Context = grpc.aio.ServicerContext[Any, Any]


class Receiving:
    """For one method, by its service and name. Calls that need no key have turns of their own:
    whoever needs none takes none from those who have one."""

    def __init__(self, limits: Limits, method: str) -> None:
        name = method.rpartition("/")[2]
        is_open = LEAST.get(method) is Role.NONE
        self.is_large = name in LARGE_REQUESTS
        self._longest = LONG_REQUESTS.get(name, REQUEST_BYTES)
        self._asks_for_end = name != "CreateJobs"
        self._turns = limits.reading_open if is_open else limits.reading
        self._within_s = OPEN_READ_S if is_open else READ_S
        self._readings = limits.readings

    async def request(self, context: Context, who: Caller) -> bytes:
        """Returns the bytes of a call's request. Invalid: there is none, or it is too long or too
        late; Exhausted: it had no turn in time, or lost it as it came slowly."""
        async with self._turns.of(who):
            raw = await self._readings.within_time(
                self._whole(context), self._within_s, self._turns, who
            )
        if not isinstance(raw, bytes):
            await asyncio.sleep(LEFT_S)
            raise Invalid("expected a request, got none")
        if len(raw) > self._longest:
            raise Invalid(f"expected a request of at most {self._longest} bytes, got {len(raw)}")
        return raw

    async def _whole(self, context: Context) -> Any:
        """The request, after which nothing may come. gRPC keeps what a client sends behind it for as
        long as the call lasts, with all that shared its packets: a megabyte for each 3 KB of a part
        of a message. Creates are not asked: they need a key, and are what has to be fast."""
        raw = await context.read()
        if self._asks_for_end and isinstance(raw, bytes):
            behind = await context.read()
            if behind is not grpc.aio.EOF:
                raise Invalid("expected one request, got something behind it")
        return raw
