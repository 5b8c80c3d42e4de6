"""`bin/bench`: measures each part of Hodei beside what the machine allows, in one run; with --peers
beside what users would choose instead.

Ten minutes for our own sections, as many again for the peers, and ten for --only soak, which is
left out unless asked for. With --docs the figures go to docs/figures.json, where those of sections
that were not measured stay, and the pages are written anew."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

import hodei
from bench import (
    claims,
    hot,
    idle,
    keys,
    latency,
    logs,
    masking,
    memory,
    report,
    scaling,
    soak,
    startup,
    telling,
    throughput,
    tls,
)
from bench.peers.measure import measure as measure_peers

TREE = Path(__file__).parents[1]
FIGURES = TREE / "docs" / "figures.json"


def sections(rounds: int, profiles: Path | None) -> dict[str, Callable[[], dict[str, Any]]]:
    return {
        "throughput": lambda: throughput.measure(rounds, 20_000, [], profiles),
        "peers": lambda: measure_peers(rounds, []),
        "latency": latency.measure,
        "logs": logs.measure,
        "hot": hot.measure,
        "claims": claims.measure,
        "idle": idle.measure,
        "memory": memory.measure,
        "startup": startup.measure,
        "telling": lambda: telling.measure(rounds),
        "tls": lambda: tls.measure(rounds),
        "keys": lambda: keys.measure(5 * rounds),
        "masking": masking.measure,
        "scaling": lambda: scaling.measure(rounds),
        "soak": lambda: soak.soak(10.0, 800),
    }


ASKED_FOR = ("peers", "soak")
"""Sections that are measured only when they are named: they need other programs, or ten minutes."""


def machine() -> dict[str, Any]:
    words = Path("/proc/cpuinfo").read_text()
    model = next(
        (
            line.partition(":")[2].strip()
            for line in words.splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "processor": model,
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "postgres": _postgres(),
    }


def _postgres() -> str:
    from hodei.local import binaries

    said = subprocess.run(
        [Path(binaries.find()) / "postgres", "--version"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return said.split()[-1]


def _commit() -> str:
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=TREE,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/bench", description="Measures Hodei beside what the machine allows."
    )
    parser.add_argument(
        "--version", action="version", version=f"bin/bench, version {hodei.__version__}"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=sections(3, None),
        help="sections; without it all but peers and soak",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="also the systems that users would choose instead; sets them up first",
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each drain; medians are told")
    parser.add_argument(
        "--docs",
        action="store_true",
        help="writes docs/figures.json, docs/performance.md, docs/scaling.md and the plots",
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FOLDER",
        help="what py-spy saw of throughput goes there; slows what is measured",
    )
    return parser


def main() -> None:
    given = _parser().parse_args()
    chosen = given.only or [name for name in sections(3, None) if name not in ASKED_FOR]
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("ended; what was started is stopped")
    )  # as by Ctrl-C: on the way out
    if given.peers and "peers" not in chosen:
        chosen.insert(1, "peers")
    figures: dict[str, Any] = {
        "machine": machine(),
        "commit": _commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "sections": {},
    }
    if given.docs and FIGURES.exists():
        figures["sections"] = json.loads(FIGURES.read_text())["sections"]
    for name, measure in sections(given.rounds, given.profile).items():
        if name not in chosen:
            continue
        print(f"── {name} ──", file=sys.stderr, flush=True)
        figures["sections"][name] = measure()
        if given.docs:
            FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    if given.docs:
        report.write(figures, TREE / "docs")
    else:
        print(json.dumps(figures, indent=2))
    wrong = {
        name: found["violations"]
        for name, found in figures["sections"].items()
        if found.get("violations")
    }
    if wrong:
        raise SystemExit(f"the judge found: {wrong}")


if __name__ == "__main__":
    main()
