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
    started: Callable[[int], None]  # process id
    failed: Callable[[str], None]  # why, in words
    ended: Callable[[int, Usage], None]  # wait status
    ran: Callable[[int, int, Usage], None]  # process id and wait status: started and ended by now
    orphaned: Callable[[], None]  # its launcher died: it is our own child now, to be waited for
    unsure: Callable[[], None]  # its launcher died while it started it: it may have run
    cgroup: Cgroup | None = None
    asked_at: float = 0.0  # of a launcher, by the monotonic clock


class Asked(NamedTuple):
    number: int
    wanted: Spawn | None  # None: only to go to that cgroup
    cgroup: Cgroup | None


@dataclass(eq=False)
class Launcher:
    pid: int
    link: socket.socket
    at: Cgroup | None = None  # where it is when all that it is asked is done
    asked: deque[Asked] = field(default_factory=deque)  # not answered, in order
    inside: set[Cgroup] = field(default_factory=set)  # all in which it may be
