"""`python -m bench.beside TREE`: the paths of the server in this checkout beside those in another
one, as that of the release before, by turns of a second or two.

Both are up at the same time, each with a database of its own in one PostgreSQL. Machines are faster
at one minute than at the next, by a third where others use them too: a ratio of two turns that
follow each other hardly notices."""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from bench.system import QUIET, System
from bench.throughput import Bench
from hodei.local.embedded_postgres import EmbeddedPostgres
from hodei.local.stack import Stack
from verify.checker import violations

HERE = Path(__file__).parents[1]

Paths = dict[str, Callable[[], float]]


@contextlib.contextmanager
def side(name: str, tree: Path, database: EmbeddedPostgres, folder: Path) -> Iterator[Bench]:
    """A server of a checkout on an empty database, and a worker of this one that runs nothing."""
    with psycopg.connect(database.dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    url = database.dsn(name)
    with Stack(folder / name, tree=tree) as stack, Stack(folder / name, tree=HERE) as workers:
        server = stack.server("server", url, environment=QUIET)
        System(folder, url, database, workers, [server]).bench_worker(0, slots=400)
        yield Bench(System(folder, url, database, stack, [server]))


def paths(bench: Bench, jobs: int) -> Paths:
    return {
        "queued": lambda: bench.drained_per_s({"kind": "bench"}, "true", jobs),
        "created in batches of 500": lambda: bench.created_per_s(jobs),
        "single creates, 64 at once": lambda: bench.single_creates_per_s(jobs // 8 // 64 * 64),
        "single creates, 4 at once": lambda: bench.single_creates_per_s(jobs // 16 // 4 * 4, 4),
        "single creates, one at a time": lambda: bench.single_creates_per_s(jobs // 40, 1),
    }


def measure(other: Path, rounds: int, jobs: int, only: list[str]) -> dict[str, Any]:
    """Medians of `rounds` pairs of turns, of which each checkout begins every second one."""
    with (
        tempfile.TemporaryDirectory(prefix="hodei-bench-") as made,
        EmbeddedPostgres(_opened(made) / "postgres") as database,
        side("here", HERE, database, Path(made)) as here,
        side("there", other, database, Path(made)) as there,
    ):
        found = {}
        for path in paths(here, jobs):
            if not only or any(word in path for word in only):
                found[path] = _compared(path, [here, there], rounds, jobs)
                print(f"{path}: {found[path]}", file=sys.stderr, flush=True)
        return {"paths": found, "violations": violations(here.conn)}


def _opened(folder: str) -> Path:
    """As root, PostgreSQL runs as another user."""
    path = Path(folder)
    path.chmod(0o755)
    return path


def _compared(path: str, sides: list[Bench], rounds: int, jobs: int) -> dict[str, float]:
    """Jobs per second here, and ratios of here to there: of jobs per second, and of processor time
    for each job."""
    turns: list[tuple[dict[str, float], ...]] = []
    for number in range(rounds):
        took = {}
        for bench in sides if number % 2 else sides[::-1]:
            rate = paths(bench, jobs)[path]()
            took[id(bench)] = {"per_second": rate} | bench.share
        turns.append(tuple(took[id(bench)] for bench in sides))
    measured = ("per_second", "server", "postgres")
    return {"here": round(statistics.median(here["per_second"] for here, _ in turns))} | {
        what: round(statistics.median(here[what] / there[what] for here, there in turns), 3)
        for what in measured
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description="Two checkouts.")
    parser.add_argument("tree", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=20_000, help="of a turn; fewer of slow paths")
    parser.add_argument("--only", action="append", default=[], help="paths with this word")
    given = parser.parse_args()
    result = measure(given.tree.resolve(), given.rounds, given.jobs, given.only)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
