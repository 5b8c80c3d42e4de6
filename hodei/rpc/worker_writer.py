"""The half of a worker's stream that writes: what is in its outbox, heartbeats, and its end."""

import asyncio
from collections.abc import Callable

from hodei.domain.errors import Invalid
from hodei.domain.timing import HEARTBEAT_S
from hodei.fleet.messages import ServerHeartbeat
from hodei.fleet.stream import WorkerStream
from hodei.rpc import to_worker
from hodei.rpc.worker_stream import Context, StreamEnded, send


async def write(stream: WorkerStream, context: Context) -> None:
    """Writes what is put into the outbox, for ever."""
    while True:
        for frame in to_worker.frames(await stream.wait_for_messages()):
            await send(context, frame)


async def beat_until_closed(stream: WorkerStream, check: Callable[[], None]) -> None:
    """Sends heartbeats, with a call of `check` after each, until the stream is closed from this
    side. Invalid: it was closed for what the worker sent; StreamEnded: for any other cause."""
    while not stream.closed.is_set():
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await stream.closed.wait()
        except TimeoutError:
            stream.send(ServerHeartbeat())
            check()
    if stream.at_fault:
        raise Invalid(stream.why_closed)
    raise StreamEnded(stream.why_closed)
