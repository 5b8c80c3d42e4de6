"""`python -m bench.latency`: from the call that submits a job until it is in the worker, on a
system with nothing else to do.

One job at a time; the client, the server and the workers are processes of their own, whose clock is
the machine's."""

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import psycopg
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.system import QUIET, System, system
from bench.worker import BenchWorker
from hodei.domain.ids import uuid7
from hodei.local.stack import mint_token
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from verify.checker import violations

CREATE = """
SELECT outcome FROM hodei_create_jobs(
    jsonb_build_array(
        jsonb_build_object('id', %s::text, 'actor', 'bench', 'spec', %s::jsonb)))
"""
NOTED: dict[str, object] = {"command": "true", "labels": {"kind": "noted"}}
REAL: dict[str, object] = {"command": ["/bin/sh", "-c", "date +%s%N"], "labels": {"kind": "real"}}
UNCOUNTED = 10
"""The first calls open connections and fill caches."""

Call = tuple[str, int, int]
"""Job, and when its call began and was answered (ns since 1970)."""


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Percentiles that are values which occurred, none in between."""
    ordered = sorted(values)
    at = {
        f"p{share}": ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]
        for share in (50, 90, 99)
    }
    return {name: round(value, digits) for name, value in {**at, "max": ordered[-1]}.items()}


# ── in processes of their own ──


class NotingWorker(BenchWorker):
    """Says of each offer when it came. Its log is all it has to say it with: nothing in the answers
    tells."""

    def _done(self, frame: pb.ServerFrame) -> pb.WorkerFrame:
        now = time.time_ns()
        answer = super()._done(frame)
        for offer in frame.run:
            print("offer", offer.job_id, now, flush=True)
        return answer


def client(server: str, samples: int, spacing_s: float) -> dict[str, list[Call]]:
    """Calls as the command line makes them, on a channel that is open."""
    with (
        grpc.insecure_channel(server) as channel,
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as conn,
    ):
        jobs, health = hodei_pb2_grpc.JobServiceStub(channel), health_pb2_grpc.HealthStub(channel)

        def submit(spec: dict[str, object]) -> Callable[[str], object]:
            return lambda job_id: jobs.CreateJobs(
                pb.CreateJobsRequest(specs=[json.dumps({"id": job_id, **spec})]), timeout=60
            )

        return {
            "echo": _spaced(
                lambda _: health.Check(health_pb2.HealthCheckRequest(), timeout=60),
                samples,
                spacing_s,
            ),
            "statement": _spaced(
                lambda job_id: conn.execute(CREATE, [job_id, json.dumps(NOTED)]), samples, spacing_s
            ),
            "noted": _spaced(submit(NOTED), samples, spacing_s),
            "real": _spaced(submit(REAL), samples, spacing_s),
        }


def _spaced(call: Callable[[str], object], samples: int, spacing_s: float) -> list[Call]:
    calls: list[Call] = []
    for _ in range(samples + UNCOUNTED):
        job_id, begun = str(uuid7()), time.time_ns()
        call(job_id)
        calls.append((job_id, begun, time.time_ns()))
        time.sleep(max(0.0, spacing_s - (time.time_ns() - begun) / 1e9))
    return calls[UNCOUNTED:]


# ── the measurement ──


def measure(samples: int = 500, spacing_s: float = 0.02) -> dict[str, Any]:
    with system(servers=1) as under_test, psycopg.connect(under_test.url, autocommit=True) as conn:
        offers = _workers(under_test)
        calls = _called(under_test, samples, spacing_s)
        _until_done(conn, 3 * (samples + UNCOUNTED))
        words = [line.split() for line in offers().splitlines() if line.startswith("offer ")]
        offered = {job_id: int(when) for _, job_id, when in words}
        started = {
            row[0]: int(row[1])
            for row in conn.execute(
                "SELECT job_id::text, convert_from(data, 'UTF8') FROM job_logs"
            ).fetchall()
        }
        figures = {
            "echo: unary call to the health service": _own(calls["echo"]),
            "ceiling: sh -c date, spawned by us": spread([_spawned_ms() for _ in range(samples)]),
            "creating statement by psycopg": _own(calls["statement"]),
            "creating statement to the worker": _until(calls["statement"], offered),
            "submit call": _own(calls["noted"]),
            "submit to the worker": _until(calls["noted"], offered),
            "submit call, real worker": _own(calls["real"]),
            "submit to the job's first instruction, real worker": _until(calls["real"], started),
        }
        for name, figure in figures.items():
            print(f"{name}: {figure}", file=sys.stderr, flush=True)
        return {
            "samples": samples,
            "spacing_ms": spacing_s * 1e3,
            "ms": figures,
            "violations": violations(conn),
        }


def _workers(under_test: System) -> Callable[[], str]:
    """Connects both; gives the way to what the noting one has said."""
    server, token = under_test.servers[0], mint_token(under_test.url)
    noting = under_test.stack.start(
        "noting-worker", ["bench.latency", "worker", server], {"HODEI_OTP_TOKEN": token}
    )
    under_test.stack.await_words(noting, "connected")
    flags = ["--slots", "4", "--label", "kind=real"]
    under_test.stack.worker(
        "worker",
        server,
        under_test.folder / "w",
        mint_token(under_test.url),
        *flags,
        environment=QUIET,
    )
    return noting.log.read_text


def _called(under_test: System, samples: int, spacing_s: float) -> dict[str, list[Call]]:
    argv = [
        sys.executable,
        "-m",
        "bench.latency",
        "client",
        under_test.servers[0],
        str(samples),
        str(spacing_s),
    ]
    done = subprocess.run(
        argv, env=os.environ | {"DATABASE_URL": under_test.url}, stdout=subprocess.PIPE, check=True
    )
    calls: dict[str, list[Call]] = json.loads(done.stdout)
    return calls


def _until_done(conn: psycopg.Connection[Any], jobs: int) -> None:
    deadline = time.monotonic() + 60
    while conn.execute(
        "SELECT count(*) < %s FROM jobs WHERE state = 'SUCCEEDED'", [jobs]
    ).fetchall() != [(False,)]:
        if time.monotonic() > deadline:
            raise SystemExit(f"{jobs} jobs have not succeeded after 60 s")
        time.sleep(0.05)


def _own(calls: list[Call]) -> dict[str, float]:
    return spread([(answered - begun) / 1e6 for _, begun, answered in calls])


def _until(calls: list[Call], moments: dict[str, int]) -> dict[str, float]:
    return spread([(moments[job_id] - begun) / 1e6 for job_id, begun, _ in calls])


def _spawned_ms() -> float:
    begun = time.time_ns()
    done = subprocess.run(["/bin/sh", "-c", "date +%s%N"], stdout=subprocess.PIPE, check=True)
    return (int(done.stdout) - begun) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.latency",
        description="From submit until the job is in the worker, idle system.",
    )
    parser.add_argument("role", nargs="*", help="of a process that this program starts")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--spacing-ms", type=float, default=20.0)
    given = parser.parse_args()
    match given.role:
        case ["worker", server]:
            asyncio.run(
                NotingWorker(server, 200, os.environ["HODEI_OTP_TOKEN"], {"kind": "noted"}).run()
            )
        case ["client", server, samples, spacing_s]:
            print(json.dumps(client(server, int(samples), float(spacing_s))))
        case _:
            result = measure(given.samples, given.spacing_ms / 1e3)
            print(json.dumps(result, indent=2))
            sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
