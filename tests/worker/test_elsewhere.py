"""A worker whose server is cut off from its database leaves only for a server that serves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from hodei.protocol import hodei_pb2 as pb
from hodei.tls.address import parse_all
from hodei.tls.caller import NO_TLS
from hodei_worker import elsewhere
from hodei_worker.elsewhere import Elsewhere
from hodei_worker.stream_end import SentAway

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def a_server(state: int) -> AsyncIterator[tuple[str, health.aio.HealthServicer]]:
    server, servicer = grpc.aio.server(), health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await servicer.set("", state)
    await server.start()
    try:
        yield f"127.0.0.1:{port}", servicer
    finally:
        await server.stop(None)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(elsewhere, "CONFIRM_S", 0.2)


async def still_looks(look: "asyncio.Task[None]") -> bool:
    done, _ = await asyncio.wait({look}, timeout=0.5)
    return not done


def test_it_leaves_once_a_server_serves() -> None:
    async def story() -> None:
        async with a_server(NOT_SERVING) as (here, _), a_server(NOT_SERVING) as (there, other):
            search = Elsewhere(parse_all(f"{here},{there},127.0.0.1:1", tls=False), NO_TLS)
            look = asyncio.create_task(search.look())
            await asyncio.sleep(0)
            search.read(pb.ServerFrame(cut_off=True))
            assert await still_looks(look), "nobody serves"
            await other.set("", SERVING)
            await look

    with pytest.raises(SentAway):
        asyncio.run(story())


@pytest.mark.parametrize("told_before", [True, False])
def test_it_stays_when_its_own_server_is_back_with_the_others(told_before: bool) -> None:
    """All servers serve again at once: leaving would cut a stream for nothing."""

    async def story() -> bool:
        async with a_server(SERVING) as (there, _):
            search = Elsewhere(parse_all(there, tls=False), NO_TLS)
            look = asyncio.create_task(search.look())
            await asyncio.sleep(0)
            if told_before:
                search.read(pb.ServerFrame(cut_off=True))
                await asyncio.sleep(0.1)
                search.read(pb.ServerFrame(reaches_database=True))
            stays = await still_looks(look)
            look.cancel()
            return stays

    assert asyncio.run(story())
