"""`bin/chaos --minutes N --seed S`: one run, its figures and its judgement."""

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import hodei
from tests.chaos.chaos import Chaos


def attack(
    seconds: float,
    seed: int,
    *,
    pgbouncer: bool = False,
    keep: bool = False,
    at_least: int = 0,
    other_tree: Path | None = None,
    only: Sequence[str] = (),
    tame: bool = False,
    docker: bool = False,
) -> tuple[Chaos, list[str]]:
    """Prints figures, returns what was done and the violations."""
    base = Path(tempfile.mkdtemp(prefix="hodei-chaos-"))
    base.chmod(0o755)
    chaos = Chaos(base, seed, pgbouncer=pgbouncer, other_tree=other_tree, tame=tame, docker=docker)
    found: list[str] = []
    try:
        with chaos.started():
            chaos.run(seconds, at_least, only)
            found = chaos.judge()
            with chaos.connect() as conn:
                states = conn.execute(
                    """
                    SELECT state, coalesce(reason, ''), count(*)
                    FROM jobs
                    GROUP BY 1, 2
                    ORDER BY 1, 2
                    """
                ).fetchall()
            print(
                f"seed {seed}: {chaos.jobs} jobs, {chaos.faults.total()} faults "
                f"{dict(chaos.faults)}, {len(found)} violations"
            )
            print(
                f"wild jobs: {len(chaos.wild.jobs)} {dict(Counter(chaos.wild.jobs.values()))}, "
                f"processes of jobs left: {len(chaos.left)}"
            )
            if chaos.contained:
                print(
                    f"container jobs: {len(chaos.contained.jobs)}, containers removed by hand: "
                    f"{len(chaos.contained.removed)}"
                )
            print(
                "  ".join(
                    f"{state} {reason} {count}".replace("  ", " ")
                    for state, reason, count in states
                ),
                flush=True,
            )
    finally:
        if keep or found:
            print(f"everything is kept in {base}", file=sys.stderr)
        else:
            shutil.rmtree(base, ignore_errors=True)
    return chaos, found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bin/chaos", description="Attack a real system at random, then judge it."
    )
    parser.add_argument(
        "--version", action="version", version=f"bin/chaos, version {hodei.__version__}"
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument(
        "--seed", type=int, default=None, help="of an earlier run, to repeat its faults"
    )
    parser.add_argument(
        "--pgbouncer",
        action="store_true",
        help="servers reach PostgreSQL through a PgBouncer in transaction mode",
    )
    parser.add_argument(
        "--other-tree",
        type=lambda path: Path(path).absolute(),
        help="the second server and worker run this checkout's code, as during a deploy; "
        "--only leaves out what it does not hold",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="FAULT",
        help="one of the faults that a run prints; repeatable",
    )
    parser.add_argument(
        "--tame",
        action="store_true",
        help="no jobs that escape, fill, fork, rename and kill: for another release, which does not hold them",
    )
    parser.add_argument(
        "--docker",
        action="store_true",
        help="some jobs run in containers, of an engine that is restarted and crashes (root)",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the database, logs and traces for inspection"
    )
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    _, found = attack(
        given.minutes * 60,
        seed,
        pgbouncer=given.pgbouncer,
        keep=given.keep,
        other_tree=given.other_tree,
        only=given.only,
        tame=given.tame,
        docker=given.docker,
    )
    for violation in found:
        print(f"VIOLATION {violation}", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
