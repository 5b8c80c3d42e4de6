"""A cgroup (version 2) for each attempt, if the kernel allows it. A process that is born in a
cgroup can leave it only as root, and dies when the cgroup is killed.

Only cgroup.procs, cgroup.events and cgroup.kill are used, which every cgroup has: no controller is
enabled. Our cgroups are in one folder below the cgroup in which the supervisor was started:

    hodei-STATE-PID/supervisor      the supervisor
    hodei-STATE-PID/jobs/N          one attempt, or a launcher that will start the next one there

STATE names the worker's state folder: by it a supervisor finds the cgroups of a dead one before it.
If that one was started in another cgroup (under systemd each has its own scope), they are found by
the journal. Empty folders of dead supervisors of any state folder are removed."""

import os
import re
import time
from itertools import count
from pathlib import Path
from typing import Protocol

from hodei_worker.supervisor import kin

SCOPE = re.compile(r"hodei-jobs-.*\.scope")
OURS = re.compile(r"hodei-[0-9a-f]+\.[0-9a-f]+-([0-9]+)")

KILLED_WITHIN_S = 5.0
"""Seconds to wait for the processes that a dead supervisor left and that are killed at our start.
Nothing else is done meanwhile; what still lives then stays."""


class Tenant(Protocol):
    """The process that a cgroup belongs to (launchers' Spawn)."""

    requested_at: float


class Cgroup:
    """One cgroup. It belongs to one attempt at a time."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        path.mkdir(exist_ok=True)
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._procs = os.open(path / "cgroup.procs", os.O_RDONLY | os.O_CLOEXEC)
        self.guests: set[int] = set()  # pids of launchers that are in it or will enter it
        self.tenant: Tenant | None = None  # the process that is in it or will be

    @property
    def empty(self) -> bool:
        """Whether it has no process. Launchers and zombies do not count."""
        if self.guests:
            return not self.pids()
        return not _populated(Path(self.path))

    @property
    def is_usable(self) -> bool:
        """Whether it exists and is empty."""
        try:
            return self.empty
        except OSError:
            return False

    def pids(self) -> set[int]:
        """Returns its processes without launchers. Cgroups below it count too; only a job that runs
        as root can make one."""
        text = part = os.pread(self._procs, 65_536, 0)
        while len(part) > kin.SHORT:
            text += (part := os.pread(self._procs, 65_536, len(text)))
        found = set(map(int, text.split()))
        if os.fstat(self._folder).st_nlink > 2:
            for procs in Path(self.path).glob("**/cgroup.procs"):
                found.update(map(int, procs.read_bytes().split()))
        return found - self.guests - {0}

    def kill(self) -> None:
        """Kills all its processes, also those that are being forked. The caller makes sure that no
        launcher is in it."""
        (Path(self.path) / "cgroup.kill").write_bytes(b"1")


class Cgroups:
    """The cgroups of one supervisor. Empty ones are used again."""

    def __init__(self, home: Path, ours: Path) -> None:
        self._home = home
        self.ours = ours
        self._free: list[Cgroup] = []
        self._numbers = count(1)

    @classmethod
    def set_up(cls, state: Path) -> "Cgroups | None":
        """Returns None if this process may not make cgroups. Under systemd they are made only in a
        scope that was created for us: other units are not delegated, and cgroups below them belong
        to systemd."""
        home = own_cgroup()
        if home is None or (
            Path("/run/systemd/system").is_dir() and not SCOPE.fullmatch(home.name)
        ):
            return None
        name = name_of(state)
        kill_dead(home, name)
        remove_empty(home)
        ours = home / f"{name}{os.getpid()}"
        try:
            for folder in (ours, ours / "supervisor", ours / "jobs"):
                folder.mkdir(exist_ok=True)
            found = cls(home, ours)
            (ours / "supervisor/cgroup.procs").write_bytes(b"0")
            probe = found.take_cgroup()
            probe.kill()
            found.give_back(probe)
        except OSError:
            leave_and_remove(home, ours)
            return None
        return found

    def take_cgroup(self) -> Cgroup:
        """A free one in which a launcher may still be stays free. One that has a process, or that
        somebody has removed, is dropped. OSError if none can be made."""
        found, visited = None, []
        while self._free and not found:
            cgroup = self._free.pop()
            if cgroup.guests:
                visited.append(cgroup)
            elif cgroup.is_usable:
                found = cgroup
        self._free += visited
        return found or Cgroup(self.ours / f"jobs/{next(self._numbers)}")

    def give_back(self, cgroup: Cgroup) -> None:
        """The cgroup has no tenant any more."""
        self._free.append(cgroup)

    def remove(self) -> None:
        """Called at the supervisor's end."""
        leave_and_remove(self._home, self.ours)


def own_cgroup() -> Path | None:
    """Returns the folder of this process's cgroup; None if it is not visible here."""
    try:
        line = next(
            line
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if line.startswith("0::")
        )
        for mount in Path("/proc/self/mountinfo").read_text().splitlines():
            left, _, right = mount.partition(" - ")
            if right.split()[0] == "cgroup2":
                root, point = left.split()[3:5]
                return Path(point) / os.path.relpath(line[3:], root)
    except (OSError, StopIteration, ValueError):
        return None
    return None


def leave_and_remove(home: Path, ours: Path) -> None:
    try:
        (home / "cgroup.procs").write_bytes(b"0")
    except OSError:
        pass
    _remove(ours)


def _remove(folder: Path) -> None:
    """Removes the folder and those below it. A cgroup that has processes stays."""
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(path)  # noqa: PTH106
        except OSError:
            continue


def name_of(state: Path) -> str:
    about = state.stat()
    return f"hodei-{about.st_dev:x}.{about.st_ino:x}-"


def kill_dead(home: Path, name: str) -> None:
    """Kills the processes in the cgroups of dead supervisors of this state folder."""
    for dead in home.glob(f"{name}*"):
        _kill_dead_one(dead)


def kill_dead_in(state: Path, folder: str) -> None:
    """Kills the processes in the cgroup that a journal names, if it belongs to this state
    folder."""
    if Path(folder).name.startswith(name_of(state)) and Path(folder).exists():
        _kill_dead_one(Path(folder))


def _kill_dead_one(dead: Path) -> None:
    try:
        pid = dead.name.rpartition("-")[2]
        if pid in (dead / "supervisor/cgroup.procs").read_text().split():
            return  # it lives
        (dead / "cgroup.kill").write_bytes(b"1")
        deadline = time.monotonic() + KILLED_WITHIN_S
        while _populated(dead) and time.monotonic() < deadline:
            time.sleep(0.005)
    except OSError:
        pass
    _remove(dead)


def remove_empty(home: Path) -> None:
    """Removes the empty cgroups of dead supervisors, whatever their state folder."""
    for folder in home.glob("hodei-*"):
        found = OURS.fullmatch(folder.name)
        try:
            if found and not Path(f"/proc/{found[1]}").exists() and not _populated(folder):
                _remove(folder)
        except OSError:
            continue  # another supervisor has just removed it


def _populated(folder: Path) -> bool:
    return b"populated 1" in (folder / "cgroup.events").read_bytes()
