"""`python -m bench.memory`: what servers and a worker hold in memory at their busiest. PSS shares
out common pages, so it adds up."""

import argparse
import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import psutil

from bench import profile
from bench.system import QUIET, System, system
from bench.throughput import Bench
from hodei.local.stack import mint_token
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from verify.checker import violations

EVERY_S = 0.25
"""Between two looks: what comes and goes within it is not seen."""

Figures = dict[str, dict[str, float]]
"""MB by process and kind."""


def resident(pids: Mapping[str, int]) -> Figures:
    """Of these processes alone, not of those below them. Who has ended is left out."""
    found: Figures = {}
    for name, pid in pids.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = psutil.Process(pid).memory_full_info()
            found[name] = {
                "rss_mb": round(memory.rss / 1e6, 1),
                "pss_mb": round(memory.pss / 1e6, 1),
            }
    return found


@contextlib.contextmanager
def most_resident(pids: Mapping[str, int]) -> Iterator[Figures]:
    """Yields the most so far of each figure; it stands once the block is left."""
    most, stop = resident(pids), threading.Event()

    def look() -> None:
        while not stop.wait(EVERY_S):
            for name, figures in resident(pids).items():
                most[name] = {kind: max(figures[kind], most[name][kind]) for kind in figures}

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


def progress(name: str, figure: object) -> None:
    print(f"{name}: {figure}", file=sys.stderr, flush=True)


def measure(rounds: int = 3, jobs: int = 20_000, sleepers: int = 100) -> dict[str, Any]:
    with system(servers=2) as under_test:
        bench = Bench(under_test)
        result = {
            "jobs": jobs,
            "sleepers": sleepers,
            "drain": _drain(under_test, bench, rounds, jobs),
        }
        result["worker"] = _sleepers(under_test, bench, sleepers)
        bench.conn.execute(
            """
            DELETE FROM jobs
            WHERE state = 'SUCCEEDED'
              AND random() < 1 - 1000.0 / (SELECT count(*) FROM jobs)
            """
        )
        return result | {"violations": violations(bench.conn)}


def _drain(under_test: System, bench: Bench, rounds: int, jobs: int) -> dict[str, Any]:
    """Several rounds: memory that is not flat shows in what is left after each."""
    servers = {part.name: part.process.pid for part in under_test.stack.parts}
    for number in range(2):
        under_test.bench_worker(number, slots=400)
    figures: dict[str, Any] = {"idle": resident(servers), "rounds": []}
    for _ in range(rounds):
        with most_resident(servers) as most:
            per_s = bench.drained_per_s({"kind": "bench"}, "true", jobs)
        figures["rounds"].append(
            {"jobs_per_s": round(per_s, 1), "most": most, "afterwards": resident(servers)}
        )
        progress("drain", figures["rounds"][-1])
    return figures


def _sleepers(under_test: System, bench: Bench, jobs: int) -> Figures | dict[str, Any]:
    """A worker with all slots taken by jobs that do nothing; not the jobs' own memory."""
    flags = ["--slots", str(jobs), "--label", "kind=real"]
    part = under_test.stack.worker(
        "worker",
        ",".join(under_test.servers),
        under_test.folder / "w",
        mint_token(under_test.url),
        *flags,
        environment=QUIET,
    )
    ours = {"worker": "agent", "worker-supervisor": "supervisor"}
    pids = {ours[name]: pid for name, pid in profile.processes(under_test).items() if name in ours}
    idle = resident(pids)
    with most_resident(pids) as most:
        bench.enqueue({"command": "exec sleep 600", "labels": {"kind": "real"}, "grace": 1}, jobs)
        _until(bench, "RUNNING", jobs)
        time.sleep(3.0)  # heartbeats and all
    figures = {"idle": idle, "all slots taken, most": most, "all slots taken": resident(pids)}
    _cancel(under_test, bench)
    _until(bench, "CANCELLED", jobs)
    figures["afterwards"] = resident(pids)
    progress("worker", figures)
    under_test.stack.stop_part(part)
    return figures


def _cancel(under_test: System, bench: Bench) -> None:
    with grpc.insecure_channel(under_test.servers[0]) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        for (job_id,) in bench.conn.execute(
            "SELECT id::text FROM jobs WHERE state = 'RUNNING'"
        ).fetchall():
            stub.CancelJob(pb.CancelJobRequest(job_id=job_id), timeout=60)


def _until(bench: Bench, state: str, jobs: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        ((there,),) = bench.conn.execute(
            "SELECT count(*) FROM jobs WHERE state = %s", [state]
        ).fetchall()
        if there >= jobs:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"{there} of {jobs} jobs {state} after 60 s")
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.memory", description="What servers and a worker hold in memory."
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=20_000, help="of each drain")
    parser.add_argument(
        "--sleepers", type=int, default=100, help="slots of the worker, and jobs on it"
    )
    given = parser.parse_args()
    result = measure(given.rounds, given.jobs, given.sleepers)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
