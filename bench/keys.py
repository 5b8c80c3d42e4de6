"""`python -m bench.keys`: what an API key costs a create, in one run with creates without a key.

Round by round, the other way first each time, so that a busy moment of the machine and a table that
grows fall on both alike."""

import argparse
import asyncio
import json
import statistics
import sys
from typing import Any

import grpc.aio
import psycopg

from bench import cpu
from bench.system import QUIET, System, system
from hodei.domain import api_key
from hodei.fleet.access import new_key
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.protocol.api_key import metadata
from hodei.store import api_keys
from hodei.store.database import Database
from verify.checker import violations

SPEC = json.dumps({"command": "true", "labels": {"kind": "nobody"}})
"""Waits for a worker that there is not: nothing runs while it is timed."""

CREATES, CALLERS = 3_000, 64
"""Creates of one job each that are timed together, from this number of callers at once."""

Metadata = tuple[tuple[str, str], ...]

OPEN = QUIET | {"HODEI_LOOPBACK_ROLE": "admin"}
"""Calls without a key are answered although there is one."""


async def made_key(url: str) -> api_key.ApiKey:
    new = new_key("bench", "submitter", "", 0.0, "bench")
    async with Database(url) as database:
        await database.run(lambda conn: api_keys.create(conn, new))
    return new.key


async def create_all(server: str, said: Metadata) -> float:
    """Returns the creates per second."""
    async with grpc.aio.insecure_channel(server) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        request = pb.CreateJobsRequest(specs=[SPEC])

        async def call() -> None:
            for _ in range(CREATES // CALLERS):
                answer = await stub.CreateJobs(request, metadata=said, timeout=60)
                assert not answer.entries[0].error  # noqa: S101

        await call()  # opens the connection, and makes the key known
        begun = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(call())
        return CREATES / (asyncio.get_running_loop().time() - begun)


def round_of(under_test: System, said: Metadata) -> tuple[float, float]:
    """Creates per second, and microseconds of the server's processor time for each."""
    before = cpu.spent(under_test)
    per_s = asyncio.run(create_all(under_test.servers[0], said))
    share = cpu.per_job_us(before, cpu.spent(under_test), CREATES)
    return per_s, sum(us for part, us in share.items() if part.startswith("server"))


def measure(rounds: int = 15) -> dict[str, Any]:
    with (
        system(servers=1, environment=OPEN) as under_test,
        psycopg.connect(under_test.url, autocommit=True) as conn,
    ):
        actor = ("hodei-actor", "cli:bench")
        key = asyncio.run(made_key(under_test.url))
        ways = {"without": (actor,), "with": (actor, *metadata(key.text))}
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for number in range(rounds + 1):
            for way in sorted(ways, reverse=bool(number % 2)):
                found[way].append(round_of(under_test, ways[way]))
            conn.execute("TRUNCATE jobs, job_queue, leases, domain_events")
        return {"rounds": rounds, **figures(found), "violations": violations(conn)}


def figures(found: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Medians; the first round, in which everything is new, does not count."""
    medians = {
        way: [statistics.median(one[place] for one in of[1:]) for place in (0, 1)]
        for way, of in found.items()
    }
    pairs = list(zip(found["with"][1:], found["without"][1:], strict=True))
    return {
        "creates_per_s": {way: round(of[0]) for way, of in medians.items()},
        "server_us": {way: round(of[1], 1) for way, of in medians.items()},
        "throughput_ratio": round(statistics.median(a[0] / b[0] for a, b in pairs), 3),
        "server_cpu_ratio": round(statistics.median(a[1] / b[1] for a, b in pairs), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.keys", description="What an API key costs a create."
    )
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    result = measure(given.rounds)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
