"""What a launcher is asked to start, and what we know of a launcher."""

import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from hodei_worker.supervisor.cgroups import Cgroup


class Usage(NamedTuple):
    """As os.wait4 has it, as far as we tell it."""

    ru_maxrss: int
    ru_utime: float
    ru_stime: float


@dataclass(eq=False)
class Spawn:
    """A process to be started, and who hears of it. Each of them is called once at most; of one that
    has ended before its start was told only `ran`."""

    argv: list[str]
    environment: dict[str, str]
    workdir: str
    # descriptors; they are the caller's, and open until it is answered
    streams: tuple[int, int, int]
    on_started: Callable[[int], None]  # process id
    on_failed: Callable[[str], None]  # why, in words
    on_ended: Callable[[int, Usage], None]  # wait status
    on_ran: Callable[
        [int, int, Usage], None
    ]  # process id and wait status: started and ended by now
    on_orphaned: Callable[[], None]  # its launcher died: it is our own child now, to be waited for
    on_unsure: Callable[[], None]  # its launcher died while it started it: it may have run
    cgroup: Cgroup | None = None
    requested_at: float = 0.0  # of a launcher, by the monotonic clock


class Pending(NamedTuple):
    number: int
    spawn: Spawn | None  # None: only to go to that cgroup
    cgroup: Cgroup | None


class Running(NamedTuple):
    """A process that runs, and the launcher that is its parent."""

    spawn: Spawn
    launcher: "Launcher"


@dataclass(eq=False)
class Launcher:
    pid: int
    link: socket.socket
    cgroup: Cgroup | None = None  # where it is when all that it is asked is done
    pending: deque[Pending] = field(default_factory=deque)  # not answered, in order
    may_be_in: set[Cgroup] = field(default_factory=set)  # all in which it may be
