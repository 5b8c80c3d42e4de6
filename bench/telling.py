"""`python -m bench.telling`: what the default log level costs, beside the quiet one and the C loop.

One database; a server and a worker of 8 slots at each level take turns with jobs of `sh -c true`.
Each job makes five lines there (its creation, by SQL, makes none).
"""

import argparse
import json
import statistics
import sys
from typing import Any

from bench import cpu
from bench.system import QUIET, TELLING, system
from bench.throughput import Bench, ceiling, compiled
from hodei.local.stack import mint_token
from verify.checker import violations

LEVELS = {"quiet": QUIET, "default": TELLING}


def measure(rounds: int, jobs: int = 10_000) -> dict[str, Any]:
    with system(servers=1, environment=QUIET) as under_test:
        url = under_test.url
        told = under_test.stack.server("server-told", url, environment=TELLING)
        addresses = {"quiet": under_test.servers[0], "default": told}
        for level, environment in LEVELS.items():
            under_test.stack.worker(
                f"worker-{level}",
                addresses[level],
                under_test.folder / level,
                mint_token(url),
                "--slots",
                "8",
                "--label",
                f"kind={level}",
                environment=environment,
            )
        bench, loop = Bench(under_test), compiled(under_test.folder)
        for level in LEVELS:
            bench.drained_per_s({"kind": level}, "true", 300)  # warm
        figures: dict[str, list[float]] = {}
        shares: dict[str, cpu.Seconds] = {}
        for number in range(rounds):
            for level in sorted(LEVELS, reverse=bool(number % 2)):
                per_s = bench.drained_per_s({"kind": level}, "true", jobs)
                figures.setdefault(level, []).append(round(per_s, 1))
                shares[level] = bench.share
                words = f"{level}: {per_s:,.0f}/s {bench.share}"
                print(words, file=sys.stderr, flush=True)
            if loop:
                starts = ceiling(loop, ["/bin/sh", "-c", "true"])
                figures.setdefault("ceiling", []).append(round(starts, 1))
        return {
            "rounds": rounds,
            "jobs": jobs,
            "violations": violations(bench.conn),
            "cpu_us_per_job": shares,
            "per_second": {
                name: {"median": statistics.median(f), "least": min(f), "most": max(f)}
                for name, f in figures.items()
            },
        }


def main() -> None:
    words = "What the default log level costs, beside the quiet one and the C loop."
    parser = argparse.ArgumentParser(prog="python -m bench.telling", description=words)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=10_000)
    given = parser.parse_args()
    result = measure(given.rounds, given.jobs)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
