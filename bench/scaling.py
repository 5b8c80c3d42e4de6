"""`python -m bench.scaling`: jobs per second, and who spends the processor, by number of servers,
workers, slots, and jobs that wait.

Points of curves: each is the median of --rounds on the same machine, so more of everything soon
means less for each."""

import argparse
import contextlib
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench import cpu
from bench.idle import allow_open_files, start_workers
from bench.system import QUIET, System, system
from bench.throughput import Bench
from hodei.local.stack import mint_token
from verify.checker import violations

LABELS = {"kind": "bench"}

SERVERS = (1, 2, 4)
WORKERS = (1, 10, 100, 300, 1000)
DEPTHS = (10_000, 100_000, 300_000, 1_000_000)
SLOTS = (1, 2, 4, 8, 16, 32, 64)

Points = dict[str, dict[str, Any]]


class Curves:
    def __init__(self, rounds: int, jobs: int, most: int) -> None:
        self._rounds = rounds
        self._jobs = jobs
        self._most = most  # no point beyond it
        self.violations: list[str] = []

    def servers(self) -> Points:
        """Two workers that run nothing for each server."""
        points: Points = {}
        for number in self._upto(SERVERS):
            with self._bench(number) as (under_test, bench):
                for worker in range(2 * number):
                    under_test.bench_worker(worker, slots=400)
                drain = functools.partial(bench.drained_per_s, LABELS, "true", self._jobs)
                points[str(number)] = self._point(f"servers: {number}", bench, drain)
        return points

    def workers(self) -> Points:
        """Streams of 16 slots on two servers."""
        points: Points = {}
        for number in self._upto(WORKERS):
            with self._bench(2) as (under_test, bench):
                start_workers(under_test, bench.conn, number, slots=16, processes=min(2, number))
                points[str(number)] = self._point(
                    f"workers: {number}",
                    bench,
                    functools.partial(committed_per_s, bench, self._jobs),
                )
        return points

    def depths(self) -> Points:
        """The first jobs of a queue; as many come again before the next round."""
        points: Points = {}
        with self._bench(2) as (under_test, bench):
            for number in range(2):
                under_test.bench_worker(number, slots=400)
            for depth in self._upto(DEPTHS):
                bench.clear()
                bench.drain(on=True)
                drain = functools.partial(first_per_s, bench, depth, min(self._jobs, depth))
                points[str(depth)] = self._point(f"queued: {depth:,}", bench, drain)
        return points

    def slots(self) -> Points:
        """A real worker and jobs of `sh -c true`."""
        points: Points = {}
        with self._bench(2) as (under_test, bench):
            for slots in self._upto(SLOTS):
                labels = {"kind": f"real-{slots}"}
                flags = ["--slots", str(slots), "--label", f"kind={labels['kind']}"]
                name, token = f"worker-{slots}", mint_token(under_test.url)
                part = under_test.stack.worker(
                    name,
                    under_test.servers[0],
                    under_test.folder / name,
                    token,
                    *flags,
                    environment=QUIET,
                )
                drain = functools.partial(
                    bench.drained_per_s, labels, "true", max(200, self._jobs // 10)
                )
                points[str(slots)] = self._point(f"slots: {slots}", bench, drain)
                under_test.stack.stop_part(part)
                under_test.stack.parts.remove(part)
        return points

    def _upto(self, numbers: tuple[int, ...]) -> list[int]:
        return [number for number in numbers if number <= self._most]

    @contextlib.contextmanager
    def _bench(self, servers: int) -> Iterator[tuple[System, Bench]]:
        """A system of its own, whose last round is judged."""
        with system(servers=servers) as under_test:
            bench = Bench(under_test)
            yield under_test, bench
            self.violations += judged(bench)

    def _point(self, name: str, bench: Bench, drain: Callable[[], float]) -> dict[str, Any]:
        per_s: list[float] = []
        shares: list[cpu.Seconds] = []
        for _ in range(self._rounds):
            per_s.append(round(drain(), 1))
            shares.append(bench.share)
        share = {
            part: round(statistics.median(share[part] for share in shares), 1) for part in shares[0]
        }
        print(f"{name}: {statistics.median(per_s):,.0f}/s {share}", file=sys.stderr, flush=True)
        return {"jobs_per_s": statistics.median(per_s), "all": per_s, "cpu_us_per_job": share}


def committed_per_s(bench: Bench, jobs: int) -> float:
    """From the commit that shows all jobs at once: to drain a thousand workers, and not to, would
    take longer than the jobs."""
    bench.clear()
    with contextlib.ExitStack() as held:
        held.enter_context(bench.conn.transaction())
        bench.enqueue({"command": "true", "labels": LABELS}, jobs)
        with bench.timed(jobs) as per_s:
            held.close()
            bench.ended(jobs)
    return per_s[0]


def first_per_s(bench: Bench, depth: int, jobs: int) -> float:
    """Workers are drained before and afterwards; then nothing is on its way."""
    ((queued,),) = bench.conn.execute("SELECT count(*) FROM job_queue").fetchall()
    bench.enqueue({"command": "true", "labels": LABELS}, depth - queued)
    bench.conn.execute("CHECKPOINT")
    begun = claimed_and_done(bench)
    with bench.timed(jobs) as per_s:
        bench.drain(on=False)
        _until(lambda: claimed_and_done(bench) - begun >= jobs)
    bench.drain(on=True)
    _until(lambda: bench.conn.execute("SELECT count(*) FROM leases").fetchall() == [(0,)])
    return per_s[0]


GIVEN_AND_DONE = """
SELECT (SELECT last_value - (NOT is_called)::integer FROM hodei_lease_seq)
     - (SELECT count(*) FROM leases)
"""


def claimed_and_done(bench: Bench) -> int:
    """Leases given less those that live: to count a million jobs by their state would disturb what
    is measured."""
    ((done,),) = bench.conn.execute(GIVEN_AND_DONE).fetchall()
    return int(done)


def _until(there: Callable[[], bool], most_s: float = 300.0) -> None:
    deadline = time.monotonic() + most_s
    while not there():
        if time.monotonic() > deadline:
            raise SystemExit(f"the jobs have not ended after {most_s:g} s")
        time.sleep(0.02)


def judged(bench: Bench) -> list[str]:
    """By a sample of some 1,000 jobs: the judge reads each story by itself."""
    bench.conn.execute("DELETE FROM jobs WHERE random() < 1 - 1000.0 / (SELECT count(*) FROM jobs)")
    bench.conn.execute(
        "DELETE FROM job_queue q WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.id = q.job_id)"
    )
    return violations(bench.conn)


CURVES = {
    "servers": Curves.servers,
    "workers": Curves.workers,
    "depths": Curves.depths,
    "slots": Curves.slots,
}


def measure(
    rounds: int = 3, jobs: int = 20_000, only: tuple[str, ...] = (), most: int = max(DEPTHS)
) -> dict[str, Any]:
    allow_open_files()
    curves = Curves(rounds, jobs, most)
    points = {name: curve(curves) for name, curve in CURVES.items() if not only or name in only}
    return {
        "cores": os.cpu_count(),
        "rounds": rounds,
        "jobs": jobs,
        **points,
        "violations": curves.violations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling",
        description="Jobs per second by servers, workers, slots, queue.",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--jobs", type=int, default=20_000, help="of each round; a tenth of it for a real worker"
    )
    parser.add_argument("--only", action="append", default=[], choices=CURVES)
    parser.add_argument("--most", type=int, default=max(DEPTHS), help="leaves out points beyond it")
    given = parser.parse_args()
    result = measure(given.rounds, given.jobs, tuple(given.only), given.most)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
