"""What is gathered for the stream, and what does not wait for more."""

import asyncio
import time

from hodei.protocol import hodei_pb2 as pb
from hodei_worker.outbox import HEAVY_BYTES, Outbox


def chunk(size: int, seq: int = 0) -> pb.LogChunk:
    return pb.LogChunk(lease=1, seq=seq, stream=pb.STDOUT, data=b"x" * size)


def test_heavy_logs_end_the_gathering() -> None:
    async def story() -> tuple[float, float]:
        outbox = Outbox()
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            gathering = group.create_task(outbox.gather(60.0))
            await asyncio.sleep(0)
            outbox.log(chunk(10))
            await asyncio.sleep(0)
            assert not gathering.done()
            outbox.log(chunk(HEAVY_BYTES, 1))
        took = time.monotonic() - begun
        outbox.frame()
        begun = time.monotonic()
        await outbox.gather(0.05)
        return took, time.monotonic() - begun

    took, light = asyncio.run(story())
    assert took < 30
    assert light >= 0.05, "the frame has taken them: what comes now may gather again"


def test_a_new_stream_begins_light() -> None:
    async def story() -> None:
        outbox = Outbox()
        outbox.log(chunk(HEAVY_BYTES + 1))
        outbox.clear()
        begun = time.monotonic()
        await outbox.gather(0.05)
        assert time.monotonic() - begun >= 0.05

    asyncio.run(story())
