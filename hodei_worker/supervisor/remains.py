"""Kills the processes that a dead supervisor has left, by its journal."""

import signal
import time
from pathlib import Path
from typing import Any

from hodei_worker.supervisor import kin

KILLED_WITHIN_S = 2.0
"""Seconds to wait for the processes of one job to die. Nothing else is done meanwhile."""


def kill_remains(entry: dict[str, Any]) -> str:
    """Returns a text about what was killed, for the job's result. A cgroup has all processes of an
    attempt; without one only those are found that kept their marks. (Cgroups have been killed and
    removed before this call, by cgroups.py.)"""
    if ours := entry.get("cgroup"):
        if not Path(ours).exists():
            return "its processes were killed"
        return f"its processes were killed, except some in {ours}"
    deadline = time.monotonic() + KILLED_WITHIN_S
    sessions: set[int] = set()
    while found := kin.processes_of_dead_attempt(
        entry["job_id"], entry["lease"], entry.get("seen", []), sessions
    ):
        if time.monotonic() > deadline:
            return f"process {min(found)} of {kin.owner(min(found))} could not be killed"
        kin.send_signal(found, signal.SIGKILL)
        time.sleep(0.01)
    return "all of its processes that could be found were killed"
