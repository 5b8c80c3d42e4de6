"""Procrastinate: the worker when run, the enqueuer when imported."""

import asyncio
import time

import handler
import procrastinate

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=handler.URL))


@app.task(name="job")
async def job(kind, number):
    await handler.run_async(kind, number)


def enqueue(kind, jobs):
    return asyncio.run(_enqueue(kind, jobs))


async def _enqueue(kind, jobs):
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        begun = time.monotonic()
        for start in range(0, jobs, 1000):
            batch = range(start, min(jobs, start + 1000))
            await job.batch_defer_async(*[{"kind": kind, "number": number} for number in batch])
        return time.monotonic() - begun


async def work():
    async with app.open_async():
        await app.run_worker_async(**handler.OPTIONS)


if __name__ == "__main__":
    asyncio.run(work())
