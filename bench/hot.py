"""`python -m bench.hot`: the functions at the top of what py-spy sees in servers and workers under
load. It slows what it looks at."""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import profile
from bench.system import QUIET, System, system
from bench.throughput import Bench
from hodei.local.stack import mint_token
from verify.checker import violations

MOST = 12
"""Functions of each part that are told."""

PARTS = {"server-0": "server", "worker": "agent", "worker-supervisor": "supervisor"}

Rows = list[tuple[str, float, float]]


def measure(jobs: int = 30_000) -> dict[str, Any]:
    """Under no-op jobs (the server's path) and under `sh -c true` (all of it): function, share of
    samples in it, share in it and below."""
    folder = Path(tempfile.mkdtemp(prefix="hodei-profile-"))
    try:
        with system(servers=2) as under_test:
            bench = Bench(under_test)
            for number in range(2):
                under_test.bench_worker(number, slots=400)
            flags = ["--slots", "16", "--label", "kind=real"]
            state, token = under_test.folder / "w", mint_token(under_test.url)
            under_test.stack.worker(
                "worker", under_test.servers[0], state, token, *flags, environment=QUIET
            )
            seen = {
                "no-op jobs, server path": _seen(
                    under_test, bench, folder / "noop", "bench", jobs, ("server",)
                ),
                "sh -c true, real worker": _seen(
                    under_test, bench, folder / "sh", "real", jobs // 2, tuple(PARTS.values())
                ),
            }
            bench.conn.execute(
                "DELETE FROM jobs WHERE random() < 1 - 1000.0 / (SELECT count(*) FROM jobs)"
            )
            return {"seen": seen, "violations": violations(bench.conn)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _seen(
    under_test: System, bench: Bench, folder: Path, kind: str, jobs: int, parts: tuple[str, ...]
) -> dict[str, Rows]:
    bench.drained_per_s({"kind": kind}, "true", 2000)
    with profile.recorded(under_test, folder, "run"):
        per_s = bench.drained_per_s({"kind": kind}, "true", jobs)
    print(f"{kind}: {per_s:,.0f}/s under py-spy", file=sys.stderr, flush=True)
    return {
        part: hottest(folder / f"run.{name}.folded")
        for name, part in PARTS.items()
        if part in parts
    }


def hottest(path: Path) -> Rows:
    rows = sorted(profile.top(path, 10_000), key=lambda row: -row[1])
    return [(name, round(own, 4), round(below, 4)) for name, own, below in rows[:MOST]]


def main() -> None:
    print(json.dumps(measure(), indent=2))


if __name__ == "__main__":
    main()
