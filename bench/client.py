"""`python -m bench.client`: how long a submit takes with the Python client, beside the same call of
gRPC without it. Medians, in one run."""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import psycopg

from bench.system import system
from hodei.client import AsyncHodei, Hodei
from hodei.domain.ids import uuid7
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from verify.checker import violations

SPEC: dict[str, Any] = {"command": "true", "labels": {"kind": "nobody"}}
"""Waits for a worker that there is not: nothing runs while it is timed."""

ONES, MANY = 100, 1000
"""Submits of one job that are timed together, and jobs of one submit."""


def raw(server: str) -> dict[str, Callable[[], None]]:
    """What a program does that speaks gRPC itself."""
    stub = hodei_pb2_grpc.JobServiceStub(grpc.insecure_channel(server))

    def create(count: int) -> None:
        specs = [json.dumps({**SPEC, "id": str(uuid7())}) for _ in range(count)]
        answer = stub.CreateJobs(pb.CreateJobsRequest(specs=specs, all_or_nothing=True), timeout=60)
        assert not any(entry.error for entry in answer.entries)  # noqa: S101

    def ones() -> None:
        for _ in range(ONES):
            create(1)

    return {"one": ones, "many": lambda: create(MANY)}


def blocking(server: str) -> dict[str, Callable[[], None]]:
    client = Hodei(server, call_timeout=60)

    def ones() -> None:
        for _ in range(ONES):
            client.submit(SPEC)

    def many() -> None:
        client.submit_many([SPEC] * MANY)

    return {"one": ones, "many": many}


def asynchronous(server: str, runner: asyncio.Runner) -> dict[str, Callable[[], None]]:
    client = AsyncHodei(server, call_timeout=60)

    async def ones() -> None:
        for _ in range(ONES):
            await client.submit(SPEC)

    async def many() -> None:
        await client.submit_many([SPEC] * MANY)

    def ran(call: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        return lambda: runner.run(call())

    return {"one": ran(ones), "many": ran(many)}


def measure(rounds: int = 15) -> dict[str, Any]:
    """Round by round, so that a busy moment of the machine does not fall on one of them alone."""
    with (
        system(servers=1) as under_test,
        psycopg.connect(under_test.url, autocommit=True) as conn,
        asyncio.Runner() as runner,
    ):
        server = under_test.servers[0]
        ways = {
            "gRPC": raw(server),
            "Hodei": blocking(server),
            "AsyncHodei": asynchronous(server, runner),
        }
        took: dict[tuple[str, str], list[Took]] = {}
        for _ in range(rounds + 1):
            for what in ("one", "many"):
                for way, calls in ways.items():
                    took.setdefault((what, way), []).append(timed(calls[what]))
        return {"rounds": rounds, "ms": figures(took), "violations": violations(conn)}


Took = tuple[float, float]
"""Seconds on the clock, and of this process's processor time, in which the servers have no part."""


def timed(call: Callable[[], None]) -> Took:
    begun, spent = time.monotonic(), time.process_time()
    call()
    return time.monotonic() - begun, time.process_time() - spent


def figures(took: dict[tuple[str, str], list[Took]]) -> dict[str, dict[str, dict[str, float]]]:
    """Of each submit the milliseconds, and the ratios to gRPC's. The first round opened connections,
    and does not count."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (what, way), rounds in took.items():
        calls = ONES if what == "one" else 1
        clock, cpu = (
            statistics.median(one[place] for one in rounds[1:]) * 1e3 / calls for place in (0, 1)
        )
        raw_ones = found.setdefault(what, {}).get("gRPC", {"clock": clock, "cpu": cpu})
        found[what][way] = {
            "clock": round(clock, 3),
            "cpu": round(cpu, 3),
            "clock_ratio": round(clock / raw_ones["clock"], 2),
            "cpu_ratio": round(cpu / raw_ones["cpu"], 2),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.client", description="How long a submit of the Python client takes."
    )
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    result = measure(given.rounds)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
