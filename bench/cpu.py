"""Who spends the processor: seconds of each part of a system under test, its processes found anew
at each look."""

import psutil

from bench.system import System

Seconds = dict[str, float]


def spent(under_test: System) -> Seconds:
    """By part since its start; `jobs` is what the jobs of real workers used, `idle` what nobody did
    on any core.

    Who ended between two looks counts with its parent.
    """
    seconds = dict.fromkeys(("server", "worker", "supervisor", "postgres", "jobs"), 0.0)
    seconds["idle"] = float(psutil.cpu_times().idle)
    postmaster = under_test.database.pid or 0
    seconds["postgres"] = sum(_own(process) for process in _tree(postmaster)) + _ended(
        psutil.Process(postmaster)
    )
    for part in under_test.stack.parts:
        name = "server" if part.name.startswith("server") else "worker"
        for process in _tree(part.process.pid):
            supervises = _is_supervisor(process)
            seconds["supervisor" if supervises else name] += _own(process)
            seconds["jobs"] += _ended(process) if supervises else 0.0
    return seconds


def per_job_us(before: Seconds, after: Seconds, jobs: int) -> dict[str, float]:
    return {part: round((after[part] - before[part]) / jobs * 1e6, 1) for part in after}


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _own(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _ended(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.children_user + times.children_system)


def _is_supervisor(process: psutil.Process) -> bool:
    """Or one of its launchers, which are the jobs' parents."""
    try:
        return any(
            "hodei_worker.supervisor" in word or word.endswith("supervisor/launcher.py")
            for word in process.cmdline()
        )
    except psutil.Error:
        return False
