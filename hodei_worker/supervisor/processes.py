"""The executor of plain processes on this host."""

import asyncio
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.cgroups import Cgroups, kill_dead_in
from hodei_worker.supervisor.executor import Listener, Start
from hodei_worker.supervisor.launchers import Launchers
from hodei_worker.supervisor.place import Folders
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.process import JobProcess
from hodei_worker.supervisor.remains import kill_remains
from hodei_worker.supervisor.result import Cause, lost
from hodei_worker.supervisor.shared import Shared
from hodei_worker.supervisor.spool import JobSpool
from hodei_worker.supervisor.user import JobUser
from hodei_worker.supervisor.wire import Leftover

REAP_AFTER_S = 0.05
"""Seconds between a SIGCHLD and the reaping of zombies, which may come by the hundred."""


class MemoryWatch:
    """Tells whether the kernel has just killed a process for lack of memory. The kernel does not
    say which one."""

    def __init__(self) -> None:
        self._kills = deque([kin.oom_kills()], maxlen=7)  # counts of the last 3 s

    def check(self) -> None:
        """Called twice a second."""
        self._kills.append(kin.oom_kills())

    def was_short(self) -> bool:
        """Whether it happened in the last 3 s. Each kill is reported by one call only."""
        now = kin.oom_kills()
        short = now > self._kills[0]
        if short:
            self._kills.clear()
            self._kills.append(now)
        return short


class Processes:
    """An Executor (executor.py)."""

    def __init__(self, state: Path, log_limit: int, user: JobUser | None) -> None:
        """Kills what an earlier supervisor has left in cgroups, and makes our own cgroups if the
        kernel allows it."""
        kin.become_subreaper()
        self._state = state
        self._log_limit = log_limit
        self._user = user
        self._cgroups = Cgroups.set_up(state)
        self._memory = MemoryWatch()
        self._reaping = False

    @property
    def capabilities(self) -> list[str]:
        return ["process", "secrets"]

    @property
    def leftovers(self) -> list[Leftover]:
        return []

    def journal_marks(self, start: Start) -> dict[str, Any]:
        return {"cgroup": str(self._cgroups.ours)} if self._cgroups else {}

    def adopt(self, entry: dict[str, Any]) -> Cause:
        """Kills what is left: the pipes and the exit code of a process are lost with its
        supervisor."""
        if folder := entry.get("cgroup"):
            kill_dead_in(self._state, folder)
        return lost(f"the worker's supervisor died; {kill_remains(entry)}")

    def open(self, group: asyncio.TaskGroup, warn: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        poller = Poller()
        self._shared = Shared(
            poller,
            Folders(self._state / "jobs", self._user, warn),
            self._log_limit,
            group,
            self._memory.was_short,
            Launchers(poller, self._cgroups, self._user, loop.call_later),
        )
        loop.add_signal_handler(signal.SIGCHLD, self._reap_soon)

    def attempt(self, start: Start, job_spool: JobSpool, listener: Listener) -> JobProcess:
        return JobProcess(start, self._shared, job_spool, listener)

    def go_on(self, start: Start, job_spool: JobSpool, listener: Listener) -> JobProcess:
        raise AssertionError("no attempt goes on: adopt has ended each of an earlier supervisor")

    def check(self) -> None:
        self._memory.check()
        self._shared.launchers.continue_all()
        if self._cgroups is None:
            self._shared.end_strays()

    def _reap_soon(self) -> None:
        if not self._reaping:
            self._reaping = True
            asyncio.get_running_loop().call_later(REAP_AFTER_S, self._reap)

    def _reap(self) -> None:
        self._reaping = False
        self._shared.reap_orphans()
        if self._shared.searches_newborn:
            self._reap_soon()

    def purge(self, job_id: str, lease: int) -> None:
        kin.kill_attempt(job_id, lease)

    def close(self) -> None:
        self._shared.launchers.close()

    def remove(self) -> None:
        """Called at the supervisor's end in any case. Removes our cgroups."""
        if self._cgroups:
            self._cgroups.remove()
