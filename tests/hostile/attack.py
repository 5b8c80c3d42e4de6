"""Attacks on a server, made by a process of their own (`conftest.Attacker` starts it). It reads one
attack a line, as JSON: `name`, `arguments`, `key` and `say`. It answers with a line of counts once
all calls of the attack have an outcome or are held, and holds them until the next line, or the end."""

import asyncio
import collections
import itertools
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from hodei.protocol import api_key, hodei_pb2_grpc
from hodei.protocol import hodei_pb2 as pb
from tests.hostile import raw_http2

Counts = collections.Counter[str]

SAID: list[tuple[str, str]] = []
"""The metadata of each call: the key, if there is one."""

KEPT: list[Any] = []
"""What the attack holds: calls, channels, and tasks that keep connections."""

LATER = "2900-01-01T00:00:00Z"


def channels(address: str, count: int) -> list[grpc.aio.Channel]:
    """Each with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    opened = [grpc.aio.insecure_channel(address, options=options) for _ in range(count)]
    KEPT.extend(opened)
    return opened


async def outcome(call: Awaitable[Any], counts: Counts) -> None:
    try:
        await call
        counts["OK"] += 1
    except grpc.aio.AioRpcError as error:
        refused(error, counts)


def refused(error: grpc.aio.AioRpcError, counts: Counts) -> None:
    counts[error.code().name] += 1
    counts.setdefault(f"words: {error.details()}", 0)


async def hold(calls: list[Any], within_s: float = 10.0) -> Counts:
    """The first message of each call is asked for, and nothing after it."""
    counts: Counts = collections.Counter()

    async def first(call: Any) -> None:
        try:
            async with asyncio.timeout(within_s):
                answer = await call.read()
            counts["OK" if answer is not grpc.aio.EOF else (await call.code()).name] += 1
        except TimeoutError:
            counts["held back"] += 1
        except grpc.aio.AioRpcError as error:
            refused(error, counts)

    KEPT.extend(calls)
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(first(call))
    counts["held"] = sum(not call.done() for call in calls)
    return counts


async def follow_and_read_nothing(
    address: str, job_id: str, number: str, connections: str = "4"
) -> Counts:
    stubs = [hodei_pb2_grpc.JobServiceStub(each) for each in channels(address, int(connections))]
    request = pb.ReadLogsRequest(job_id=job_id, follow=True)
    turn = itertools.cycle(stubs)
    return await hold([next(turn).ReadLogs(request, metadata=SAID) for _ in range(int(number))])


async def wait_for_jobs(address: str, number: str, ids: str) -> Counts:
    """Each call for all of these jobs."""
    (channel,) = channels(address, 1)
    stub = hodei_pb2_grpc.JobServiceStub(channel)
    request = pb.WaitJobsRequest(job_ids=ids.split(","))
    return await hold([stub.WaitJobs(request, metadata=SAID) for _ in range(int(number))])


async def open_and_say_nothing(address: str, number: str, path: str) -> Counts:
    """Streams of calls whose requests never come."""
    opened: list[Any] = [channel.stream_stream(path) for channel in channels(address, 4)]
    return await hold([opened[n % 4](metadata=SAID) for n in range(int(number))], within_s=2.0)


async def leave(address: str, number: str, connections: str, path: str, request: str) -> Counts:
    """Calls that are given up at once, or a moment later."""
    opened: list[Any] = [
        channel.unary_unary(path) for channel in channels(address, int(connections))
    ]
    for n in range(int(number)):
        call = opened[n % len(opened)](bytes.fromhex(request), metadata=SAID)
        await asyncio.sleep(0.002 * (n % 3))
        call.cancel()
    return collections.Counter(left=int(number))


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


async def call_unknown_methods(address: str, number: str, connections: str) -> Counts:
    counts: Counts = collections.Counter()
    unknown: list[Any] = [
        each.unary_unary("/hodei.v1.None/None") for each in channels(address, int(connections))
    ]
    async with asyncio.TaskGroup() as group:
        for n in range(int(number)):
            group.create_task(outcome(unknown[n % len(unknown)](b"", metadata=SAID), counts))
    return counts


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


async def stall(
    address: str, number: str, connections: str, path: str, size: str = "3900000"
) -> Counts:
    """Calls whose requests, of 4 MB as they say, stop after that many bytes."""
    begun = raw_http2.message(b"x" * int(size), 4_000_000)
    return await raw(address, number, connections, 65_535, path, begun, ends=False)


async def raw(
    address: str, number: str, connections: str, window: int, path: str, body: bytes, *, ends: bool
) -> Counts:
    """Counts the connections that are open and the calls that are over, after 2 s or when all are."""
    opened = [await raw_http2.Connection.open(address, window) for _ in range(int(connections))]
    tasks = [asyncio.get_running_loop().create_task(connection.keep()) for connection in opened]
    KEPT.extend(tasks)
    said = dict(SAID).get("authorization", "")
    for n in range(int(number)):
        credential = f"Bearer {uuid.uuid4()}:{'00' * 32}" if "Worker" in path else ""
        opened[n % len(opened)].call(path, body, ends=ends, credential=said or credential)
        if n % 100 == 0:
            await asyncio.sleep(0.01)
    for _ in range(40):
        over = sum(len(connection.over) for connection in opened)
        if over == int(number):
            break
        await asyncio.sleep(0.05)
    return collections.Counter(open=sum(not task.done() for task in tasks), over=over)


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


async def ask(
    address: str, number: str, connections: str, path: str, request: str, within_s: float = 30.0
) -> Counts:
    """Calls of one request each, given in hexadecimal."""
    counts: Counts = collections.Counter()
    opened: list[Any] = [
        channel.unary_unary(path) for channel in channels(address, int(connections))
    ]
    raw_request = bytes.fromhex(request)
    async with asyncio.TaskGroup() as group:
        for n in range(int(number)):
            call = opened[n % len(opened)](raw_request, metadata=SAID, timeout=within_s)
            group.create_task(outcome(call, counts))
    return counts


async def until_refused(address: str, path: str, request: str, keys: str, within_s: str) -> Any:
    """For each of the keys, four at a time make this call again and again, each until it is told
    that its key is not valid any more. A first line of counts comes when 200 are answered. Returns
    when the last one was told, and the outcomes."""
    counts: Counts = collections.Counter()
    raw_request, over = bytes.fromhex(request), time.time() + float(within_s)

    async def call_again(method: Any, key: str) -> None:
        said = api_key.metadata(key)
        while time.time() < over:
            try:
                await method(raw_request, metadata=said, timeout=30)
                counts["OK"] += 1
                if counts["OK"] == 200:
                    print(json.dumps(counts), flush=True)
            except grpc.aio.AioRpcError as error:
                refused(error, counts)
                if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                    counts["told"] += 1
                    return

    async with asyncio.TaskGroup() as group:
        for key in keys.split(","):
            for channel in channels(address, 4):
                group.create_task(call_again(channel.unary_unary(path), key))
    return {"at": time.time()} | counts


async def list_leases(address: str, seconds: str, held: str, credentials: str, what: str) -> Counts:
    """Workers list so many leases in `what`, hellos or heartbeats, on 16 connections."""
    counts: Counts = collections.Counter()
    leases = [pb.Held(lease=n + 1, phase=pb.Held.RUNNING) for n in range(int(held))]
    hello = pb.Hello(protocol_min=1, protocol_max=1, name="evil", slots=1)
    hello.instance = str(uuid.uuid4())
    beat = pb.WorkerFrame(heartbeat=pb.Heartbeat(held=leases)).SerializeToString()
    if what == "hellos":
        hello.held.extend(leases)
    greeting, over = pb.WorkerFrame(hello=hello).SerializeToString(), time.time() + float(seconds)

    async def say(channel: grpc.aio.Channel, credential: str) -> None:
        connect: Any = channel.stream_stream("/hodei.v1.WorkerService/Connect")
        while time.time() < over:
            call = connect(metadata=(("authorization", f"Bearer {credential}"),))
            try:
                await call.write(greeting)
                if await call.read() is not grpc.aio.EOF:
                    counts["welcomes"] += 1
                while what == "heartbeats" and time.time() < over:
                    await call.write(beat)
                    counts["heartbeats"] += 1
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                counts["refused"] += 1
            call.cancel()

    says = map(say, channels(address, 16), itertools.cycle(credentials.split(",")))
    await asyncio.wait(map(asyncio.ensure_future, says), timeout=float(seconds))  # some still wait
    return counts


async def at_once(
    address: str, number: str, connections: str, ask: Callable[[Any], Awaitable[Any]]
) -> Counts:
    counts: Counts = collections.Counter()
    stubs = [
        (hodei_pb2_grpc.JobServiceStub(channel), hodei_pb2_grpc.FleetServiceStub(channel))
        for channel in channels(address, int(connections))
    ]
    async with asyncio.TaskGroup() as group:
        for n in range(int(number)):
            group.create_task(outcome(ask(stubs[n % len(stubs)]), counts))
    return counts


async def release() -> None:
    for kept in KEPT:
        if isinstance(kept, grpc.aio.Channel):
            await kept.close()  # which ends its calls
        elif isinstance(kept, asyncio.Task):
            kept.cancel()
        elif isinstance(kept, tuple):
            kept[1].close()
        elif isinstance(kept, raw_http2.Connection):
            kept.close()
    KEPT.clear()


async def main() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        await release()
        asked = json.loads(line)
        SAID[:] = [*api_key.metadata(asked["key"]), *map(tuple, asked["say"])]
        counts = await globals()[asked["name"]](*asked["arguments"])
        print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
