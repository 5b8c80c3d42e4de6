"""PgQueuer: the worker when run, the enqueuer when imported."""

import asyncio
import json
import time

import asyncpg
import handler
from pgqueuer import AsyncpgDriver, Queries, QueueManager


def enqueue(kind, jobs):
    return asyncio.run(_enqueue(kind, jobs))


async def _enqueue(kind, jobs):
    queries = await _queries()
    await queries.install()
    begun = time.monotonic()
    for start in range(0, jobs, 1000):
        batch = range(start, min(jobs, start + 1000))
        await queries.enqueue(
            ["job"] * len(batch),
            [json.dumps([kind, number]).encode() for number in batch],
            [0] * len(batch),
        )
    return time.monotonic() - begun


async def work():
    manager = QueueManager(await _queries())

    @manager.entrypoint("job")
    async def job(taken):
        await handler.run_async(*json.loads(taken.payload))

    await manager.run(**handler.OPTIONS)


async def _queries():
    return Queries(AsyncpgDriver(await asyncpg.connect(handler.URL)))


if __name__ == "__main__":
    asyncio.run(work())
