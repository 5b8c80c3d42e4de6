"""`python -m bench.claims`: how long a claim of 50 jobs takes where the queue is deep, or its head
full of dead rows.

The claim itself, without a server, also for workers that are limited to a project, beside those
that are not; and at last a server at work while somebody holds an old snapshot open, so that no
vacuum helps."""

import argparse
import asyncio
import json
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import psycopg
from psycopg import AsyncConnection, IsolationLevel

from bench import cpu
from bench.idle import percent
from bench.system import System, system
from bench.throughput import ENQUEUE, Bench
from hodei.domain.timing import ACCEPT_WITHIN_S
from hodei.store import claims, dead_rows
from hodei.store.database import SOCKET, Connection

LABELS = {"kind": "bench"}
SPEC = json.dumps({"command": "true", "labels": LABELS})

ENQUEUE_IN_TURN = """SELECT count(*) FROM hodei_create_jobs((
    SELECT jsonb_agg(
        jsonb_build_object('id', hodei_uuid7(), 'actor', 'bench', 'spec', %s::jsonb, 'project',
            (%s::text[])[1 + n %% %s]))
    FROM generate_series(1, %s) n))"""
"""The jobs belong to the projects in turn."""

OF_ALL, LIMITED = "a worker of all projects", "a worker limited to one"

CLAIMED = 50
"""Jobs of one claim."""

TIDY_EVERY = 32
"""Claims between two vacuums, where there are any: what a server of 800 jobs per second does in its
2 s."""

RATE, WINDOW_S = 800, 10.0
"""Jobs per second given to the server, and how often it is looked at."""

WARNINGS = ("old snapshot", "oldest transaction")


def measure(
    claims: int = 200, deep: int = 1_000_000, dead: int = 200_000, drained: int = 100_000
) -> dict[str, Any]:
    with system(servers=0) as under_test:
        direct = asyncio.run(_direct(under_test.url, claims, deep, dead))
    with system(servers=1) as under_test:
        return {
            "claims": claims,
            "jobs_per_claim": CLAIMED,
            "ms": direct,
            "through_a_server": _through_a_server(under_test, drained),
        }


# ── the claim itself ──


async def _direct(url: str, claims: int, deep: int, dead: int) -> dict[str, Any]:
    """One connection for all cases, which has claimed from an empty queue before: a server's, whose
    plans are cached."""
    async with await AsyncConnection.connect(
        url, autocommit=True, application_name="hodei-server", prepare_threshold=5, **SOCKET
    ) as conn:
        for _ in range(10):
            await _claim(conn)
        figures: dict[str, Any] = {}
        for queued in (10_000, deep):
            await _filled(conn, queued)
            figures[f"{queued:,} queued"] = await _timed(conn, claims, tidy=True)
        for words, projects in (
            ("one project", ["web"]),
            ("two projects in turn", ["web", "shop"]),
        ):
            figures[f"10,000 of {words}"] = await _side_by_side(conn, claims, projects)
        await conn.execute("ALTER TABLE job_queue SET (autovacuum_enabled = false)")
        figures[f"{dead:,} dead rows"] = await _dead_rows(conn, claims, dead)
        figures[f"{dead:,} dead rows, an old snapshot"] = await _old_snapshot(
            conn, url, claims, dead
        )
        return figures


async def _side_by_side(
    conn: Connection, claims: int, projects: list[str]
) -> dict[str, dict[str, float]]:
    """Both kinds of workers claim in turn from the same queue, by turns one or the other first, so
    that nothing else is different between them."""
    await _emptied(conn)
    await _enqueue_in_turn(conn, projects, 10_000)
    await _at_rest(conn)
    took: dict[str, list[float]] = {OF_ALL: [], LIMITED: []}
    for n in range(claims):
        for kind in (OF_ALL, LIMITED) if n % 2 else (LIMITED, OF_ALL):
            begun = time.perf_counter()
            claimed = await _claim(conn, projects=projects[:1] if kind is LIMITED else ())
            took[kind].append((time.perf_counter() - begun) * 1000)
            _check_all(claimed)
        await _enqueue_in_turn(conn, projects, 2 * CLAIMED)
        if n % TIDY_EVERY == TIDY_EVERY - 1:
            await dead_rows.vacuum(conn)
    return {kind: _spread(kind, ms) for kind, ms in took.items()}


async def _enqueue_in_turn(conn: Connection, projects: list[str], jobs: int) -> None:
    for start in range(0, jobs, 5000):
        some = [SPEC, projects, len(projects), min(5000, jobs - start)]
        await conn.execute(ENQUEUE_IN_TURN, some)


async def _dead_rows(conn: Connection, claims: int, dead: int) -> dict[str, Any]:
    await _filled(conn, dead + 10_000)
    await _claim_all(conn, dead)
    return {
        "not vacuumed": await _timed(conn, claims, tidy=False),
        "vacuum took": await _vacuumed_ms(conn),
        "vacuumed": await _timed(conn, claims, tidy=True),
    }


async def _old_snapshot(conn: Connection, url: str, claims: int, dead: int) -> dict[str, Any]:
    await _filled(conn, dead + 10_000)
    async with await AsyncConnection.connect(url) as old:
        await old.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await old.execute("SELECT 1")
        await _claim_all(conn, dead)
        figures: dict[str, Any] = {"vacuum in vain took": await _vacuumed_ms(conn)}
        figures["held, from the head"] = await _timed(conn, claims, tidy=True)
        figures["held, from where the last claim ended"] = await _timed(
            conn, claims, tidy=True, skip=True
        )
    return figures | {
        "vacuum after it took": await _vacuumed_ms(conn),
        "released": await _timed(conn, claims, tidy=True),
    }


async def _filled(conn: Connection, jobs: int) -> None:
    """This number of jobs wait, and nothing else is there."""
    await _emptied(conn)
    for start in range(0, jobs, 5000):
        await conn.execute(ENQUEUE, [SPEC, min(5000, jobs - start)])
    await _at_rest(conn)


async def _emptied(conn: Connection) -> None:
    await conn.execute("TRUNCATE jobs, job_queue, leases, domain_events, job_logs")


async def _at_rest(conn: Connection) -> None:
    """Analysed, and on the disk."""
    await conn.execute("VACUUM (ANALYZE) jobs, job_queue, leases")
    await conn.execute("CHECKPOINT")


async def _claim(
    conn: Connection,
    jobs: int = CLAIMED,
    beyond: claims.Position | None = None,
    projects: Sequence[str] = (),
) -> claims.Claimed:
    workers = [uuid.UUID(int=n % 10) for n in range(jobs)]
    wish = claims.ClaimRequest(workers, LABELS, beyond, projects=projects)
    return await claims.claim(conn, wish, ACCEPT_WITHIN_S)


def _check_all(claimed: claims.Claimed) -> None:
    if len(claimed.offers) != CLAIMED:
        raise SystemExit(f"a claim found {len(claimed.offers)} jobs")


async def _claim_all(conn: Connection, jobs: int) -> None:
    """What is claimed is dead in the queue. It is not run."""
    while jobs > 0:
        jobs -= len((await _claim(conn, min(1000, jobs))).offers)


async def _timed(
    conn: Connection, claims: int, *, tidy: bool, skip: bool = False
) -> dict[str, float]:
    """As many come after each claim as it took: the queue stays as deep. skip: each begins where
    the one before it ended."""
    took: list[float] = []
    beyond = None
    for n in range(claims):
        begun = time.perf_counter()
        claimed = await _claim(conn, beyond=beyond)
        took.append((time.perf_counter() - begun) * 1000)
        _check_all(claimed)
        beyond = claimed.last if skip else None
        await conn.execute(ENQUEUE, [SPEC, CLAIMED])
        if tidy and n % TIDY_EVERY == TIDY_EVERY - 1:
            await dead_rows.vacuum(conn)
    return _spread("claims", took)


def _spread(name: str, took: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    figures = {"p50": cuts[49], "p99": cuts[98], "most": max(took), "first": took[0]}
    return _said(name, {kind: round(ms, 2) for kind, ms in figures.items()})


async def _vacuumed_ms(conn: Connection) -> float:
    begun = time.perf_counter()
    await dead_rows.vacuum(conn)
    return _said("vacuum", {"ms": round((time.perf_counter() - begun) * 1000, 1)})["ms"]


def _said(name: str, figures: dict[str, float]) -> dict[str, float]:
    print(f"{name}: {figures}", file=sys.stderr, flush=True)
    return figures


# ── through a server ──


def _through_a_server(under_test: System, drained: int) -> dict[str, Any]:
    """Windows until this number of jobs is done under the old snapshot (or four times as long as it
    should take), and two when it is gone."""
    bench = Bench(under_test)
    under_test.bench_worker(0, slots=400)
    bench.enqueue(json.loads(SPEC), 2000)
    bench.ended(2000)
    bench.clear()
    feeder = _Feeder(bench)
    windows: list[dict[str, Any]] = []
    with ExitStack() as held:
        old = held.enter_context(psycopg.connect(under_test.url))
        old.isolation_level = IsolationLevel.REPEATABLE_READ
        old.execute("SELECT 1")
        most = int(4 * drained / RATE / WINDOW_S) + 1
        while len(windows) < most and (not windows or windows[-1]["done"] < drained):
            windows.append(_window(under_test, bench, feeder, "held"))
        held.close()
        after = [_window(under_test, bench, feeder, "released") for _ in range(2)]
    log = under_test.stack.parts[0].log.read_text(errors="replace").splitlines()
    return {
        "fed_per_s": RATE,
        "window_s": WINDOW_S,
        "held": windows,
        "released": after,
        "jobs_per_s": round(statistics.median(window["jobs_per_s"] for window in windows), 1),
        "at_the_end": windows[-1],
        "warnings": [line for line in log if any(words in line.lower() for words in WARNINGS)],
    }


class _Feeder:
    """Enqueues at a steady rate while somebody waits in it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._begun, self.enqueued = time.monotonic(), 0

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            if (due := int((now - self._begun) * RATE) - self.enqueued) > 0:
                self._bench.conn.execute(ENQUEUE, [SPEC, due])
                self.enqueued += due
            time.sleep(0.05)


def _window(under_test: System, bench: Bench, feeder: _Feeder, name: str) -> dict[str, Any]:
    done, before, begun = _done(bench), cpu.spent(under_test), time.monotonic()
    feeder.wait(WINDOW_S)
    took = time.monotonic() - begun
    spent = percent(before, cpu.spent(under_test), took)
    now = _done(bench)
    window = {
        "done": now,
        "waiting": feeder.enqueued - now,
        "jobs_per_s": round((now - done) / took, 1),
        "cpu_percent": {part: spent[part] for part in ("server", "postgres", "idle")},
    }
    print(f"{name}: {window}", file=sys.stderr, flush=True)
    return window


def _done(bench: Bench) -> int:
    """Each of them has left a dead row in the queue."""
    ((done,),) = bench.conn.execute(
        "SELECT count(*) FROM jobs WHERE state = 'SUCCEEDED'"
    ).fetchall()
    return int(done)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.claims",
        description="How long a claim takes on deep and dirty queues.",
    )
    parser.add_argument("--claims", type=int, default=200, help="of each case")
    parser.add_argument("--deep", type=int, default=1_000_000, help="jobs of the deep queue")
    parser.add_argument("--dead", type=int, default=200_000, help="dead rows at the head")
    parser.add_argument(
        "--drained", type=int, default=100_000, help="jobs through a server under an old snapshot"
    )
    given = parser.parse_args()
    print(json.dumps(measure(given.claims, given.deep, given.dead, given.drained), indent=2))


if __name__ == "__main__":
    main()
