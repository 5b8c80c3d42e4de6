"""Clients that send more behind the one request of a call, and never end: gRPC would keep it for as
long as the call lasts."""

import asyncio

import pytest

from tests.hostile import raw_http2
from tests.running import Hodei

MORE = raw_http2.message(b"x" * 100, 4_000_000)
"""The beginning of another message."""


async def ends(address: str, path: str, within_s: float) -> bool:
    """Whether the server ends such a call, of which it may send no answer."""
    connection = await raw_http2.Connection.open(address, window=0)
    keeping = asyncio.get_running_loop().create_task(connection.keep())
    connection.call(path, raw_http2.message(b"") + MORE, ends=False)
    async with asyncio.timeout(within_s):
        while not connection.over and not keeping.done():
            await asyncio.sleep(0.05)
    keeping.cancel()
    return bool(connection.over)


@pytest.mark.parametrize("path", ["grpc.health.v1.Health/Watch", "hodei.v1.AccessService/WhoAmI"])
def test_a_call_that_sends_on_behind_its_request_is_ended(path: str, one: Hodei) -> None:
    assert asyncio.run(ends(one.addresses[0], f"/{path}", 5))
