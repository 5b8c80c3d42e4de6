"""What a supervisor that died has left running, by its journal."""

import signal
import time
from pathlib import Path
from typing import Any

from hodei_worker.supervisor import kin

KILLED_WITHIN_S = 2.0
"""For what one job has left; nothing else is done meanwhile."""


def kill_remains(entry: dict[str, Any]) -> str:
    """In words. What is said is what is known: a cgroup holds all, other marks only those that kept
    them. (Cgroups were killed and removed before: cgroups.py.)"""
    if ours := entry.get("cgroup"):
        if not Path(ours).exists():
            return "its processes were killed"
        return f"its processes were killed, but for some in {ours}"
    deadline = time.monotonic() + KILLED_WITHIN_S
    while found := kin.processes_of_dead_attempt(
        entry["job_id"], entry["lease"], entry.get("seen", [])
    ):
        if time.monotonic() > deadline:
            return f"process {min(found)} of {kin.owner(min(found))} could not be killed"
        kin.send_signal(found, signal.SIGKILL)
        time.sleep(0.01)
    return "all processes that could be found to be its were killed"
