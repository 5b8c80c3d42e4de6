"""The records of launchers.py: requests to launchers, their processes, and the launchers."""

import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from hodei_worker.supervisor.cgroups import Cgroup


class Usage(NamedTuple):
    """The fields of os.wait4's resource usage that results report."""

    ru_maxrss: int
    ru_utime: float
    ru_stime: float


class Exit(NamedTuple):
    status: int  # wait status
    usage: Usage


@dataclass(eq=False)
class Spawn:
    """A process to be started, and its callbacks. Each is called at most once. If the process ends
    before its start was reported, only `on_ran` is called."""

    argv: list[str]
    environment: dict[str, str]
    workdir: str
    # Descriptors of stdin, stdout, stderr. The caller keeps them open until the first callback.
    streams: tuple[int, int, int]
    on_started: Callable[[int], None]  # process id
    on_failed: Callable[[str], None]  # the reason
    on_ended: Callable[[int, Usage], None]  # wait status
    on_ran: Callable[[int, int, Usage], None]  # process id, wait status: it has started and ended
    on_orphaned: Callable[
        [], None
    ]  # its launcher died: it is our child now, and we must wait for it
    on_unsure: Callable[[], None]  # its launcher died while starting it: it may have run
    umask: str = ""  # four octal digits; "": the launcher's own
    cgroup: Cgroup | None = None
    requested_at: float = 0.0  # when the request was sent to a launcher (monotonic)


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
