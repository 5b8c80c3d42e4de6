"""What launchers.py knows of processes, of requests to launchers, and of the launchers."""

import os
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from hodei_worker.supervisor.cgroups import Cgroup
from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.link import MOST_PENDING, Link


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
    # keeps them open until the first callback, or the start was ended without one.
    streams: tuple[int, ...]
    guard: Guard
    cgroup: Cgroup | None  # launchers.py sets it
    requested_at: float  # when the request was sent to a launcher (monotonic); launchers.py sets it
    turn: int  # requests are sent in its order; launchers.py sets it

    def on_started(self, pid: int) -> None: ...

    def on_failed(self, why: str) -> None: ...

    def on_error(self, error: Exception) -> None:
        """The request could not be made. Raises the error, for `guard` to handle."""

    def on_ended(self, status: int, usage: Usage) -> None:
        """`status`: the wait status."""

    def on_ran(self, pid: int, status: int, usage: Usage, may_be_left: bool) -> None:
        """It has started and ended. `may_be_left`: it may have left processes; if not, its cgroup may
        be another job's by now."""

    def on_orphaned(self) -> None:
        """Its launcher died: it is our child now, and we must wait for it."""

    def on_unsure(self) -> None:
        """Its launcher died while starting it: it may have run."""


PROCESSORS = os.cpu_count() or 2
COUNT = max(2, min(6, 2 * PROCESSORS))
"""Number of launchers that do not hang."""

AS_LONG = MOST_PENDING - 1
"""Number of requests that take as long as a move out of the cgroup of a job that goes on, for which
every start on this host may wait. The same counts for a launcher that is not needed to keep the
processors busy: few launchers stay warm in their caches."""

PROGRAM = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launcher.py"))]

MAY_HANG_S, HANGS_S = 0.05, 0.2
"""Seconds after which a request that is not answered may hang, as in a network folder that is gone,
so that no other is sent behind it; and after which those behind it are taken back."""


class Pending(NamedTuple):
    """A request that the launcher has not answered."""

    number: int
    spawn: Spawn | None  # None: the launcher only moves to the cgroup, or the spawn was given up
    cgroup: Cgroup | None
    sent_at: float  # monotonic


class Running(NamedTuple):
    """A process that runs, and the launcher that is its parent."""

    spawn: Spawn
    launcher: "Launcher"
    pid: int


@dataclass(eq=False)
class Launcher:
    pid: int
    link: Link
    cgroup: Cgroup | None = None  # where it will be after all pending requests
    pending: deque[Pending] = field(default_factory=deque)  # oldest first
    may_be_in: set[Cgroup] = field(default_factory=set)  # all cgroups in which it may be now
    knows_behind: bool = False  # it is not of a release before; launcher.py explains BEHIND

    @classmethod
    def start(cls, ids: Iterable[int]) -> "Launcher":
        """`ids`: uid, gid and groups of the job user, if there is one. OSError if the kernel refuses
        a process or a descriptor."""
        link = Link()
        argv = [*PROGRAM, "3", *map(str, ids)]
        try:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            given = (null, 0), (null, 1), (link.launchers_end, 3)
            actions = [(os.POSIX_SPAWN_DUP2, descriptor, at) for descriptor, at in given]
            try:
                pid = os.posix_spawn(sys.executable, argv, {}, file_actions=actions, setsid=True)
            finally:
                os.close(null)
        except OSError:
            link.close()
            raise
        return cls(pid, link)

    @property
    def is_dead(self) -> bool:
        """Also if somebody else has waited for it."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, flags) is not None
        except ChildProcessError:
            return True

    @property
    def takes_more(self) -> bool:
        """Whether a job that is sent to it now will find its cgroup empty: nobody is in it, or only
        the job of a pending request, which most often ends at once."""
        pending = self.pending
        if len(pending) >= MOST_PENDING or self.has_waited(MAY_HANG_S):
            return False
        if self.cgroup is None:
            return True
        tenant = self.cgroup.tenant
        if not pending or pending[-1].spawn is None:
            return tenant is None
        return self.knows_behind and bool(tenant) and tenant in [one.spawn for one in pending]

    def has_waited(self, seconds: float) -> bool:
        """Whether its oldest request was sent so long ago."""
        return bool(self.pending) and time.monotonic() - self.pending[0].sent_at > seconds

    @property
    def hangs(self) -> bool:
        """Whether it has begun with a request and does not end. One that has not even begun was
        stopped by a job, or this host has no processor for it."""
        return self.has_waited(HANGS_S) and self.link.next_unread() != self.pending[0].number

    def take_back(self) -> list[Pending]:
        """Returns the requests that it has not read, and never will."""
        unread = self.link.take_unread()
        taken = [one for one in self.pending if one.number in unread]
        self.pending = deque(one for one in self.pending if one.number not in unread)
        return taken

    def take_unsure(self) -> Spawn | None:
        """Removes and returns the spawn on which it was at work when it died. It was not yet, if the
        job before in the same cgroup goes on or has left processes. The requests that it had not
        read are taken back before."""
        spawn = self.pending[0].spawn if self.pending else None
        if spawn and (spawn.cgroup is None or spawn.cgroup.tenant is spawn):
            self.pending.popleft()
            return spawn
        return None


def at_work(launchers: list[Launcher]) -> int:
    """Returns the number of launchers that have a request which does not seem to hang."""
    return len([one for one in launchers if one.pending and not one.has_waited(MAY_HANG_S)])


def next_launcher(launchers: list[Launcher]) -> Launcher | None:
    """Returns the launcher that will probably start a job first; None if each has enough requests.
    It is the one with the fewest requests before the job, or what is as long (AS_LONG)."""
    enough_at_work = at_work(launchers) > PROCESSORS
    first, least = None, AS_LONG + 1
    for one in launchers:
        delay = len(one.pending)
        if not one.takes_more:
            delay = MOST_PENDING if delay else AS_LONG
        elif enough_at_work and not delay:
            delay = AS_LONG
        if delay < least:
            first, least = one, delay
    return first
