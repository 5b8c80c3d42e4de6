"""`python -m bench.idle`: what a thousand workers cost that have nothing to do: processor,
statements, and memory for each of them.

`python -m bench.idle workers SERVER…` is the program that is those workers: many streams in one
process, each a TCP connection of its own."""

import argparse
import asyncio
import collections
import json
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from bench import cpu, worker
from bench.system import System, system
from bench.throughput import Bench
from verify.checker import violations

SPREAD_S = 10.0
"""Of the streams' starts: as long as from heartbeat to heartbeat, so that heartbeats come
evenly."""

ENVIRONMENT_BYTES = 100_000
"""Of tokens for one process: Linux takes 128 KiB in one variable."""

COUNTED_S = 20.0
"""In which PostgreSQL logs each statement, after the window whose processor time counts: logging is
not free."""

MINT = """
INSERT INTO worker_bootstrap_tokens (created_by)
SELECT 'sql:bench' FROM generate_series(1, %s)
RETURNING token::text
"""


def measure(
    workers: int = 1000, queued: int = 10_000, rest_s: float = 15.0, window_s: float = 60.0
) -> dict[str, Any]:
    allow_open_files()
    with system(servers=1) as under_test:
        bench = Bench(under_test)
        figures = {"no workers": _figures(under_test, bench.conn, "no workers", rest_s, window_s)}
        start_workers(under_test, bench.conn, workers, slots=4, processes=1)
        figures["idle workers"] = _figures(under_test, bench.conn, "idle workers", rest_s, window_s)
        bench.enqueue({"command": "true", "labels": {"nobody": "has"}}, queued)
        figures["idle workers, jobs that none can run"] = _figures(
            under_test, bench.conn, "jobs that none can run", rest_s, window_s
        )
        ((connected,),) = bench.conn.execute(
            "SELECT count(*) FROM workers WHERE connected"
        ).fetchall()
        before, after = (figures[name]["server_mb"] for name in ("no workers", "idle workers"))
        grown = {kind: round((after[kind] - before[kind]) * 1000 / workers, 1) for kind in after}
        return {
            "workers": workers,
            "queued": queued,
            "window_s": window_s,
            "connected_at_the_end": connected,
            "server_kb_per_worker": grown,
            "figures": figures,
            "violations": violations(bench.conn),
        }


def _figures(
    under_test: System, conn: psycopg.Connection[Any], name: str, rest_s: float, window_s: float
) -> dict[str, Any]:
    time.sleep(rest_s)
    before, begun = cpu.spent(under_test), time.monotonic()
    time.sleep(window_s)
    spent = percent(before, cpu.spent(under_test), time.monotonic() - begun)
    figures: dict[str, Any] = {
        "cpu_percent": {part: spent[part] for part in ("server", "postgres", "idle")}
    }
    figures["server_mb"] = _memory_mb(under_test.stack.parts[0].process.pid)
    figures |= _statements(under_test, conn)
    print(f"{name}: {figures}", file=sys.stderr, flush=True)
    return figures


def _memory_mb(pid: int) -> dict[str, float]:
    """PSS falls when another Python with the same libraries starts, as the workers' does here;
    anonymous memory is this process's own."""
    words = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {
        kind.lower(): round(int(kb) * 1024 / 1e6, 2)
        for kind, kb in re.findall(r"^(Pss|Anonymous): +(\d+) kB", words, re.MULTILINE)
    }


def percent(before: cpu.Seconds, after: cpu.Seconds, seconds: float) -> dict[str, float]:
    """Of one core, by part."""
    return {part: round((after[part] - before[part]) / seconds * 100, 2) for part in after}


# ── statements ──


def _statements(under_test: System, conn: psycopg.Connection[Any]) -> dict[str, Any]:
    """Those of the servers' pools, by PostgreSQL's own log: it names who asks, as
    pg_stat_statements does not."""
    log = under_test.database.base / "postgres.log"
    conn.execute("ALTER SYSTEM SET log_line_prefix = '%a|'")
    conn.execute("ALTER SYSTEM SET log_statement = 'all'")
    conn.execute("SELECT pg_reload_conf()")
    time.sleep(1.0)
    start = log.stat().st_size
    time.sleep(COUNTED_S)
    with log.open("rb") as file:
        file.seek(start)
        said = file.read().decode(errors="replace")
    conn.execute("ALTER SYSTEM RESET ALL")
    conn.execute("SELECT pg_reload_conf()")
    found = told(said, "hodei-server")
    return {
        "statements_per_s": round(found.total() / COUNTED_S, 2),
        "most_frequent_per_s": {
            words: round(times / COUNTED_S, 2) for words, times in found.most_common(8)
        },
    }


def told(log: str, application: str) -> collections.Counter[str]:
    """Executions by the first words of the statement. PostgreSQL indents the further lines of an
    entry with a tab."""
    found: collections.Counter[str] = collections.Counter()
    for entry in re.split(r"\n(?!\t)", log):
        who, _, said = entry.partition("|")
        statement = re.match(r"LOG:\s+(?:statement|execute [^:]*): (.*)", said, re.DOTALL)
        if who == application and statement:
            found[" ".join(statement[1].split())[:70]] += 1
    return found


# ── many workers ──


def allow_open_files() -> None:
    """As many as the system lets us: a stream is one at each of its ends. What is started
    afterwards inherits it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def start_workers(
    under_test: System, conn: psycopg.Connection[Any], number: int, slots: int, processes: int
) -> None:
    """Spread evenly over the servers; returns when the database knows all of them as connected."""
    tokens = [row[0] for row in conn.execute(MINT, [number]).fetchall()]
    for n in range(processes):
        share = ",".join(tokens[n::processes])
        if len(share) > ENVIRONMENT_BYTES:
            raise SystemExit(f"{number} workers need more than {processes} processes")
        argv = [
            "bench.idle",
            "workers",
            *under_test.servers[n % len(under_test.servers) :],
            *under_test.servers[: n % len(under_test.servers)],
        ]
        under_test.stack.start(
            f"bench-workers-{n}", [*argv, "--slots", str(slots)], {"HODEI_OTP_TOKEN": share}
        )
    deadline = time.monotonic() + SPREAD_S + 60
    while conn.execute("SELECT count(*) FROM workers WHERE connected").fetchall() != [(number,)]:
        if ended := under_test.stack.first_ended():
            raise SystemExit(f"{ended.name} has ended:\n{ended.tail()}")
        if time.monotonic() > deadline:
            raise SystemExit(f"not all of {number} workers have connected")
        time.sleep(0.1)


async def _be_workers(servers: list[str], tokens: list[str], slots: int) -> None:
    worker.OPTIONS.append(
        ("grpc.use_local_subchannel_pool", 1)
    )  # channels to one address would share a connection
    async with asyncio.TaskGroup() as group:
        for n, token in enumerate(tokens):
            group.create_task(
                worker.BenchWorker(servers[n % len(servers)], slots, token, {"kind": "bench"}).run()
            )
            await asyncio.sleep(SPREAD_S / len(tokens))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.idle",
        description="What a thousand workers cost that have nothing to do.",
    )
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--queued", type=int, default=10_000, help="jobs that none of them can run")
    parser.add_argument(
        "--rest", type=float, default=15.0, metavar="SECONDS", help="before each window"
    )
    parser.add_argument("--window", type=float, default=60.0, metavar="SECONDS")
    given = parser.parse_args()
    result = measure(given.workers, given.queued, given.rest, given.window)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


def main_workers(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.idle workers",
        description="One worker for each token in HODEI_OTP_TOKEN.",
    )
    parser.add_argument("servers", nargs="+")
    parser.add_argument("--slots", type=int, default=4)
    given = parser.parse_args(argv)
    allow_open_files()
    asyncio.run(_be_workers(given.servers, os.environ["HODEI_OTP_TOKEN"].split(","), given.slots))


if __name__ == "__main__":
    main_workers(sys.argv[2:]) if sys.argv[1:2] == ["workers"] else main()
