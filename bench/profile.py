"""Where the time of servers and workers goes under load: py-spy beside a measurement, and the
functions at the top of what it saw."""

import collections
import contextlib
import re
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.system import System

RATE = 200
"""Samples per second of each process; only of threads that hold the interpreter: those that wait
look busy to py-spy."""


@contextlib.contextmanager
def recorded(under_test: System, folder: Path, name: str) -> Iterator[None]:
    """Writes `<name>.<part>.folded` (stacks and their samples, as flame graph programs read them)
    for each Python process of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    program = Path(sysconfig.get_path("scripts")) / "py-spy"
    spies = [
        subprocess.Popen(
            [
                program,
                "record",
                "--gil",
                "--pid",
                str(pid),
                "--rate",
                str(RATE),
                "--format",
                "raw",
                "--duration",
                "3600",
                "--output",
                folder / f"{name}.{part}.folded",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for part, pid in processes(under_test).items()
    ]
    try:
        yield
    finally:
        for spy in spies:
            spy.send_signal(signal.SIGINT)
        for spy in spies:
            spy.wait(30)


def processes(under_test: System) -> dict[str, int]:
    found = {}
    for part in under_test.stack.parts:
        found[part.name] = part.process.pid
        for child in psutil.Process(part.process.pid).children(recursive=True):
            if "hodei_worker.supervisor" in child.cmdline():
                found[f"{part.name}-supervisor"] = child.pid
    return found


def top(path: Path, most: int = 25) -> list[tuple[str, float, float]]:
    """(function, share of samples in it, share in it and below it), by the latter."""
    own: collections.Counter[str] = collections.Counter()
    below: collections.Counter[str] = collections.Counter()
    samples = 0
    for line in path.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        samples += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            below[frame] += int(count)
    return (
        [(name, own[name] / samples, count / samples) for name, count in below.most_common(most)]
        if samples
        else []
    )
