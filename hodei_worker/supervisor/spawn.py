"""The records of launchers.py: requests to launchers, their processes, and the launchers."""

import socket
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from hodei_worker.supervisor.cgroups import Cgroup
from hodei_worker.supervisor.guard import Guard


class Usage(NamedTuple):
    """The fields of os.wait4's resource usage that results report."""

    ru_maxrss: int
    ru_utime: float
    ru_stime: float


class Exit(NamedTuple):
    status: int  # wait status
    usage: Usage


class Spawn(Protocol):
    """A process to be started, and its callbacks. Each is called at most once, under `guard`. If
    the process ends before its start was reported, only `on_ran` is called."""

    argv: list[str]
    environment: dict[str, str]
    workdir: str
    umask: str  # four octal digits; "": the launcher's own
    # Descriptors of stdin, stdout, stderr; of a job without stdin only the last two. The caller
    # keeps them open until the first callback.
    streams: tuple[int, ...]
    guard: Guard
    cgroup: Cgroup | None  # launchers.py sets it
    requested_at: float  # when the request was sent to a launcher (monotonic); launchers.py sets it

    def on_started(self, pid: int) -> None: ...

    def on_failed(self, why: str) -> None: ...

    def on_error(self, error: Exception) -> None:
        """The request could not be made. Raises the error, for `guard` to handle."""

    def on_ended(self, status: int, usage: Usage) -> None:
        """`status`: the wait status."""

    def on_ran(self, pid: int, status: int, usage: Usage) -> None:
        """It has started and ended."""

    def on_orphaned(self) -> None:
        """Its launcher died: it is our child now, and we must wait for it."""

    def on_unsure(self) -> None:
        """Its launcher died while starting it: it may have run."""


class Pending(NamedTuple):
    """A request that the launcher has not answered."""

    number: int
    spawn: Spawn | None  # None: the launcher only moves to the cgroup
    cgroup: Cgroup | None


class Running(NamedTuple):
    """A process that runs, and the launcher that is its parent."""

    spawn: Spawn
    launcher: "Launcher"


@dataclass(eq=False)
class Launcher:
    pid: int
    link: socket.socket
    cgroup: Cgroup | None = None  # where it will be after all pending requests
    pending: deque[Pending] = field(default_factory=deque)  # oldest first
    may_be_in: set[Cgroup] = field(default_factory=set)  # all cgroups in which it may be now

    def load(self) -> tuple[int, float]:
        """The key by which a launcher is chosen, least first: no pending request, then no job in
        its cgroup, then the oldest job."""
        tenant = self.cgroup.tenant if self.cgroup else None
        return len(self.pending), tenant.requested_at if tenant else 0.0
