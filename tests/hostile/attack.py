"""Attacks on a server as a process of their own: `python -m tests.hostile.attack NAME ADDRESS …`.
It prints `ready` when all of it is under way, then waits for its stdin to end."""

import asyncio
import collections
import json
import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from hodei.protocol import api_key, hodei_pb2_grpc
from hodei.protocol import hodei_pb2 as pb
from tests.hostile import raw_http2

Counts = collections.Counter[str]

SAID = api_key.metadata(os.environ.get("HODEI_API_KEY"))
"""The key with which the calls are made, if there is one."""


def channels(address: str, count: int) -> list[grpc.aio.Channel]:
    """Each with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    return [grpc.aio.insecure_channel(address, options=options) for _ in range(count)]


async def outcome(call: Awaitable[Any], counts: Counts) -> None:
    try:
        await call
        counts["OK"] += 1
    except grpc.aio.AioRpcError as error:
        counts[error.code().name] += 1
        counts.setdefault(f"words: {error.details()}", 0)


async def follow_and_read_nothing(
    address: str, job_id: str, number: str, connections: str = "4"
) -> Counts:
    """The first message of each call is asked for, and nothing after it."""
    counts: Counts = collections.Counter()
    stubs = [
        hodei_pb2_grpc.JobServiceStub(channel) for channel in channels(address, int(connections))
    ]
    calls = [
        stubs[n % len(stubs)].ReadLogs(pb.ReadLogsRequest(job_id=job_id, follow=True))
        for n in range(int(number))
    ]

    async def first(call: Any) -> None:
        try:
            async with asyncio.timeout(10):
                await call.read()
            counts["OK"] += 1
        except TimeoutError:
            counts["held back"] += 1
        except grpc.aio.AioRpcError as error:
            counts[error.code().name] += 1
            counts.setdefault(f"words: {error.details()}", 0)

    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(first(call))
    counts["held"] = sum(not call.done() for call in calls)
    KEPT.extend(calls)
    return counts


KEPT: list[Any] = []


async def create_large(address: str, number: str, connections: str) -> Counts:
    """Each call near what a message may hold: 15 specs of 250 KB."""
    spec = json.dumps({"command": "true", "stdin": "x" * 250_000, "run_at": "2900-01-01T00:00:00Z"})
    return await at_once(
        address,
        number,
        connections,
        lambda stubs: stubs[0].CreateJobs(pb.CreateJobsRequest(specs=[spec] * 15), metadata=SAID),
    )


async def get_status(address: str, number: str, connections: str) -> Counts:
    return await at_once(
        address,
        number,
        connections,
        lambda stubs: stubs[1].GetStatus(pb.GetStatusRequest(), metadata=SAID),
    )


async def list_jobs(address: str, number: str, connections: str) -> Counts:
    request = pb.ListJobsRequest(limit=1000)
    return await at_once(
        address, number, connections, lambda stubs: stubs[0].ListJobs(request, metadata=SAID)
    )


async def large_questions(address: str, number: str, connections: str) -> Counts:
    """Of a call that has no use for it: a job's id of 4 MB."""
    request = pb.JobRef(job_id="x" * 4_000_000)
    return await at_once(
        address, number, connections, lambda stubs: stubs[0].GetJob(request, metadata=SAID)
    )


async def take_nothing(
    address: str, number: str, connections: str, path: str, body: str = ""
) -> Counts:
    """Calls whose answers the server may not send."""
    return await raw(
        address, number, connections, 0, path, raw_http2.message(bytes.fromhex(body)), ends=True
    )


async def stall(address: str, number: str, connections: str, path: str) -> Counts:
    """Calls whose requests, of 4 MB as they say, stop in the middle."""
    begun = raw_http2.message(b"x" * 3_900_000, 4_000_000)
    return await raw(address, number, connections, 65_535, path, begun, ends=False)


async def raw(
    address: str, number: str, connections: str, window: int, path: str, body: bytes, *, ends: bool
) -> Counts:
    opened = [await raw_http2.Connection.open(address, window) for _ in range(int(connections))]
    KEPT.extend(asyncio.get_running_loop().create_task(connection.keep()) for connection in opened)
    for n in range(int(number)):
        credential = f"Bearer {uuid.uuid4()}:{'00' * 32}" if "Worker" in path else ""
        opened[n % len(opened)].call(path, body, ends=ends, credential=credential)
        if n % 100 == 0:
            await asyncio.sleep(0.01)
    await asyncio.sleep(2)
    return collections.Counter(open=sum(not kept.done() for kept in KEPT))


async def connect_only(address: str, number: str, greet: str) -> Counts:
    """Connections that say nothing, or only their preface."""
    host, _, port = address.rpartition(":")
    for n in range(int(number)):
        if greet == "greet":
            KEPT.append(await raw_http2.Connection.open(address))
        else:
            KEPT.append(await asyncio.open_connection(host, int(port)))
        if n % 100 == 0:
            await asyncio.sleep(0.01)
    return collections.Counter(open=len(KEPT))


async def at_once(
    address: str, number: str, connections: str, ask: Callable[[Any], Awaitable[Any]]
) -> Counts:
    counts: Counts = collections.Counter()
    stubs = [
        (hodei_pb2_grpc.JobServiceStub(channel), hodei_pb2_grpc.FleetServiceStub(channel))
        for channel in channels(address, int(connections))
    ]
    print("ready", flush=True)
    async with asyncio.TaskGroup() as group:
        for n in range(int(number)):
            group.create_task(outcome(ask(stubs[n % len(stubs)]), counts))
    return counts


async def main() -> None:
    counts = await globals()[sys.argv[1]](*sys.argv[2:])
    print(json.dumps(counts), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
