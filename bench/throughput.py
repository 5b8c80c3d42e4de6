"""`python -m bench.throughput`: jobs per second along each path, beside what the machine allows,
all in one run. Medians of --rounds.

A figure alone says nothing on another machine: read the ratios.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import grpc.aio
import psycopg

from bench import cpu, profile
from bench.system import QUIET, System, system
from hodei.local.stack import mint_token
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from verify.checker import violations

ENQUEUE = """SELECT count(*) FROM hodei_create_jobs((
    SELECT jsonb_agg(
        jsonb_build_object('id', hodei_uuid7(), 'actor', 'bench', 'spec', %s::jsonb))
    FROM generate_series(1, %s)))"""

AWAIT_END = """DO $$ BEGIN
    WHILE EXISTS (SELECT FROM (SELECT FROM job_queue ORDER BY job_id DESC LIMIT 1) newest)
        OR EXISTS (SELECT FROM (SELECT FROM leases ORDER BY lease DESC LIMIT 1) newest)
    LOOP
        COMMIT;
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$"""
"""Returns when no job waits or runs. The newest one is looked for, which is the last to end as a
rule, and the database looks by itself: a client that asked it each 20 ms took 10 to 15 µs of
processor time for each job that was measured. No snapshot is kept meanwhile."""

MOST_S = 300


class Bench:
    def __init__(self, under_test: System) -> None:
        self._system = under_test
        self.conn = psycopg.connect(under_test.url, autocommit=True)
        self.conn.execute(f"SET statement_timeout = '{MOST_S}s'")
        self.share: cpu.Seconds = {}  # µs of processor for each job, in the window last timed

    @contextlib.contextmanager
    def timed(self, jobs: int) -> Iterator[list[float]]:
        """Yields a list that gets jobs per second at its end."""
        took: list[float] = []
        before, begun = cpu.spent(self._system), time.monotonic()
        yield took
        took.append(jobs / (time.monotonic() - begun))
        self.share = cpu.per_job_us(before, cpu.spent(self._system), jobs)

    def enqueue(self, spec: dict[str, object], jobs: int) -> None:
        for start in range(0, jobs, 500):
            self.conn.execute(ENQUEUE, [json.dumps(spec), min(500, jobs - start)])

    def ended(self, jobs: int) -> None:
        """Waits until this number has succeeded since the last truncate."""
        deadline = time.monotonic() + MOST_S
        done = 0
        while done < jobs:
            try:
                self.conn.execute(AWAIT_END)
            except psycopg.errors.QueryCanceled:
                deadline = 0.0
            query = "SELECT count(*) FROM jobs WHERE state = 'SUCCEEDED'"
            ((done,),) = self.conn.execute(query).fetchall()
            if done < jobs:  # more are being created
                if time.monotonic() > deadline:
                    raise SystemExit(f"{done} of {jobs} jobs after {MOST_S} s")
                time.sleep(0.02)

    def clear(self) -> None:
        self.conn.execute("TRUNCATE jobs, job_queue, leases, domain_events, job_logs")
        self.conn.execute("CHECKPOINT")

    def drained_per_s(self, labels: dict[str, str], command: object, jobs: int) -> float:
        """Jobs that wait while all workers are drained; from the moment at which they are not any
        more until the last has ended."""
        self.clear()
        self.drain(on=True)
        self.enqueue({"command": command, "labels": labels}, jobs)
        with self.timed(jobs) as per_s:
            self.drain(on=False)
            self.ended(jobs)
        return per_s[0]

    def drain(self, *, on: bool) -> None:
        with grpc.insecure_channel(self._system.servers[0]) as channel:
            stub = hodei_pb2_grpc.FleetServiceStub(channel)
            for worker in stub.ListWorkers(pb.ListWorkersRequest()).workers:
                stub.DrainWorker(pb.DrainWorkerRequest(worker_id=worker.worker_id, undo=not on))

    def created_per_s(self, jobs: int) -> float:
        """Through the API in batches of 500, while they are worked off: until the last has
        ended."""
        self.clear()
        spec = json.dumps({"command": "true", "labels": {"kind": "bench"}})
        with self.timed(jobs) as per_s, grpc.insecure_channel(self._system.servers[0]) as channel:
            stub = hodei_pb2_grpc.JobServiceStub(channel)
            for _ in range(jobs // 500):
                stub.CreateJobs(pb.CreateJobsRequest(specs=[spec] * 500), timeout=60)
            self.ended(jobs)
        return per_s[0]

    def single_creates_per_s(self, jobs: int, clients: int = 64) -> float:
        """One job a call, from this number of callers at once: until the last call is answered."""
        self.clear()
        with self.timed(jobs) as per_s:
            asyncio.run(self._create_singly(jobs, clients))
        self.ended(jobs)
        return per_s[0]

    async def _create_singly(self, jobs: int, clients: int) -> None:
        request = pb.CreateJobsRequest(
            specs=[json.dumps({"command": "true", "labels": {"kind": "bench"}})]
        )
        async with grpc.aio.insecure_channel(self._system.servers[0]) as channel:
            stub = hodei_pb2_grpc.JobServiceStub(channel)

            async def client() -> None:
                for _ in range(jobs // clients):
                    await stub.CreateJobs(request, timeout=60)

            async with asyncio.TaskGroup() as group:
                for _ in range(clients):
                    group.create_task(client())


def ceiling(program: Path, command: list[str], seconds: float = 1.5) -> float:
    """Starts per second of the C loop on all cores together."""
    running = [
        subprocess.Popen([program, str(seconds), *command], stdout=subprocess.PIPE, text=True)
        for _ in range(os.cpu_count() or 1)
    ]
    return sum(float(process.communicate()[0]) for process in running)


def compiled(folder: Path) -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    subprocess.run(
        [compiler, "-O2", "-o", folder / "spawn", Path(__file__).with_name("spawn.c")], check=True
    )
    return folder / "spawn"


def _workers(under_test: System) -> None:
    """Two that run nothing, and a real one."""
    for number in range(2):
        under_test.bench_worker(number, slots=400)
    under_test.stack.worker(
        "worker",
        under_test.servers[0],
        under_test.folder / "w",
        mint_token(under_test.url),
        "--slots",
        "16",
        "--label",
        "kind=real",
        environment=QUIET,
    )


def _paths(bench: Bench, jobs: int, loop: Path | None) -> dict[str, Callable[[], float]]:
    """What is measured by name, and the ceilings if there is a compiler for the C loop."""
    real = {"kind": "real"}
    paths: dict[str, Callable[[], float]] = {
        "server path, queued": lambda: bench.drained_per_s({"kind": "bench"}, "true", jobs),
        "server path, created in batches of 500": lambda: bench.created_per_s(jobs),
        "single creates, 64 at once": lambda: bench.single_creates_per_s(jobs // 4 // 64 * 64),
        "sh -c true, real worker": lambda: bench.drained_per_s(real, "true", jobs // 2),
        "argv true, real worker": lambda: bench.drained_per_s(real, ["/bin/true"], jobs // 2),
        "10 log lines, real worker": lambda: bench.drained_per_s(
            real, "for n in 1 2 3 4 5 6 7 8 9 10; do echo $n; done", jobs // 2
        ),
    }
    if loop:
        paths["ceiling: sh -c true"] = lambda: ceiling(loop, ["/bin/sh", "-c", "true"])
        paths["ceiling: argv true"] = lambda: ceiling(loop, ["/bin/true"])
    return paths


def measure(rounds: int, jobs: int, only: list[str], profiles: Path | None) -> dict[str, object]:
    with system(servers=2) as under_test:
        bench = Bench(under_test)
        _workers(under_test)
        paths = _paths(bench, jobs, compiled(under_test.folder))
        figures: dict[str, list[float]] = {}
        shares: dict[str, cpu.Seconds] = {}
        for _ in range(rounds):
            for name, path in paths.items():
                if only and not any(word in name for word in only):
                    continue
                bench.share = {}
                spied = (
                    profile.recorded(under_test, profiles, name.replace(" ", "-"))
                    if profiles
                    else contextlib.nullcontext()
                )
                with spied:
                    figures.setdefault(name, []).append(round(path(), 1))
                if bench.share:
                    shares[name] = bench.share
                print(
                    f"{name}: {figures[name][-1]:,.0f}/s {shares.get(name, '')}",
                    file=sys.stderr,
                    flush=True,
                )
        bench.conn.execute(
            "DELETE FROM jobs WHERE random() < 1 - 1000.0 / (SELECT count(*) FROM jobs)"
        )
        return {
            "cores": os.cpu_count(),
            "rounds": rounds,
            "jobs": jobs,
            "violations": violations(bench.conn),
            "cpu_us_per_job": shares,
            "per_second": {
                n: {"median": statistics.median(f), "least": min(f), "most": max(f)}
                for n, f in figures.items()
            },
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.throughput",
        description="Jobs per second along each path, beside what the machine allows.",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORDS",
        help="paths whose name has these words",
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FOLDER",
        help="what py-spy saw goes there; slows what is measured",
    )
    given = parser.parse_args()
    result = measure(given.rounds, given.jobs, given.only, given.profile)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
