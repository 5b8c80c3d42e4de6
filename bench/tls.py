"""`python -m bench.tls`: what TLS costs, beside plain text on the same database in the same run.

Two servers of one database, one of them with TLS, take turns."""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from bench.system import QUIET, System, system
from bench.throughput import Bench
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.tls.address import Address
from hodei.tls.authority import make
from hodei.tls.caller import Tls, open_channel
from verify.checker import violations

CONNECTIONS = 300
CLIENTS = 64


class WithTls:
    """A server in plain text and one with TLS, each with a worker that runs nothing."""

    def __init__(self, under_test: System) -> None:
        folder = under_test.folder / "tls"
        make(folder, ["localhost"], 1)
        self.tls = Tls(ca=str(folder / "ca.pem"))
        own = (
            "--tls-cert",
            str(folder / "server.pem"),
            "--tls-key",
            str(folder / "server-key.pem"),
        )
        url = under_test.url
        encrypted = under_test.stack.server("server-tls", url, 0, *own, environment=QUIET)
        self.servers = {
            "plain text": Address(under_test.servers[0]),
            "TLS": Address(encrypted, tls=True),
        }
        for number, (way, address) in enumerate(self.servers.items()):
            trust = {"HODEI_TLS_CA": self.tls.ca or ""} if address.tls else {}
            under_test.bench_worker(number, 400, str(address), way, **trust)

    def creates_per_s(self, bench: Bench, way: str, jobs: int) -> float:
        """One job a call, from 64 callers at once on one connection."""
        bench.clear()
        bench.drain(on=True)  # nobody works them off
        with bench.timed(jobs) as per_s:
            asyncio.run(self._create(self.servers[way], jobs))
        bench.drain(on=False)
        return per_s[0]

    async def _create(self, address: Address, jobs: int) -> None:
        request = pb.CreateJobsRequest(specs=[json.dumps({"command": "true"})])
        async with open_channel(grpc.aio, address, self.tls, []) as channel:
            stub = hodei_pb2_grpc.JobServiceStub(channel)

            async def client() -> None:
                for _ in range(jobs // CLIENTS):
                    await stub.CreateJobs(request, timeout=60)

            async with asyncio.TaskGroup() as group:
                for _ in range(CLIENTS):
                    group.create_task(client())

    def connections_per_s(self, way: str) -> float:
        """One connection after the other, each with one call."""
        begun = time.monotonic()
        for _ in range(CONNECTIONS):
            alone = [("grpc.use_local_subchannel_pool", 1)]
            with open_channel(grpc, self.servers[way], self.tls, alone) as channel:
                channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=30)
        return CONNECTIONS / (time.monotonic() - begun)


def _paths(bench: Bench, both: WithTls, jobs: int) -> dict[str, Callable[[str], float]]:
    return {
        "server path, queued": lambda way: bench.drained_per_s({"kind": way}, "true", jobs),
        "single creates, 64 at once": lambda way: both.creates_per_s(bench, way, jobs // 2),
        "connections, each with one call": both.connections_per_s,
    }


def measure(rounds: int, jobs: int = 10_000) -> dict[str, Any]:
    with system(servers=1) as under_test:
        bench = Bench(under_test)
        both = WithTls(under_test)
        paths = _paths(bench, both, jobs)
        for way in both.servers:
            bench.drained_per_s({"kind": way}, "true", 500)  # warm
        figures: dict[str, dict[str, list[float]]] = {name: {} for name in paths}
        server_us: dict[str, dict[str, list[float]]] = {name: {} for name in paths}
        for number in range(rounds):
            for name, path in paths.items():
                for way in sorted(both.servers, reverse=bool(number % 2)):
                    bench.share = {}
                    per_s = path(way)
                    figures[name].setdefault(way, []).append(round(per_s, 1))
                    if bench.share:
                        server_us[name].setdefault(way, []).append(bench.share["server"])
                    words = f"{name}, {way}: {per_s:,.0f}/s {bench.share}"
                    print(words, file=sys.stderr, flush=True)
        return {
            "rounds": rounds,
            "jobs": jobs,
            "violations": violations(bench.conn),
            "server_us_per_job": _spread(server_us),
            "per_second": _spread(figures),
        }


def _spread(figures: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            way: {"median": statistics.median(f), "least": min(f), "most": max(f)}
            for way, f in of.items()
        }
        for name, of in figures.items()
    }


def main() -> None:
    words = "What TLS costs, beside plain text on the same database in the same run."
    parser = argparse.ArgumentParser(prog="python -m bench.tls", description=words)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=10_000)
    given = parser.parse_args()
    result = measure(given.rounds, given.jobs)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
