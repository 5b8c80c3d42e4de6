"""The processes of a job: found by its cgroup, or without one by what the kernel tells."""

import signal
import time
from collections.abc import Iterable
from typing import Protocol

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.cgroups import Cgroup
from hodei_worker.supervisor.launchers import Launchers

MOST_SEEN = 10_000
"""Processes of one job at a time that are remembered; further ones are found only by their marks."""

SAME_LOOK_S = 0.1
"""Seconds in which jobs share one look at the orphans."""


class Members(Protocol):
    """The living processes of one attempt."""

    def all(self) -> set[int]: ...

    def leftovers(self) -> set[int]:
        """Called when the job's own process has ended. It is quick if no process is left, which is
        the usual case."""
        ...

    def send(self, number: signal.Signals) -> None: ...

    def doubtful(self) -> set[int]:
        """Processes that may be this job's or another job's."""
        ...

    def release(self) -> None:
        """Called when the attempt has ended."""
        ...


class Contained:
    """The processes in the attempt's cgroup. Changes of group, session, environment or parent do
    not matter."""

    def __init__(self, cgroup: Cgroup, launchers: Launchers, pid: int) -> None:
        self._cgroup = cgroup
        self._launchers = launchers
        self._pid = pid
        self._empty = False  # when its own process had ended: nothing can enter it then

    def all(self) -> set[int]:
        return self._cgroup.pids()

    def leftovers(self) -> set[int]:
        self._empty = self._cgroup.empty
        return set() if self._empty else self._cgroup.pids()

    def send(self, number: signal.Signals) -> None:
        if number == signal.SIGKILL and self._launchers.vacate(self._cgroup):
            self._cgroup.kill()
        else:
            kin.send_signal(self._cgroup.pids(), number)

    def doubtful(self) -> set[int]:
        return set()

    def release(self) -> None:
        """A cgroup with a process that could not be killed is not used again."""
        if self._empty or self._cgroup.empty:
            self._launchers.give_back(self._cgroup)


class Attributed:
    """The processes of an attempt without a cgroup. They are found by process group, by session, by
    their parents as long as these live, and by the lease in their environment; and every orphan
    that no other job can have made.

    A process that cleared its environment, left its session and lost its parents within half a
    second, while more than one job ran, may be any job's: it is reported as doubtful."""

    def __init__(
        self, pid: int, job_id: str, lease: int, crowd: "Crowd", requested_at: int
    ) -> None:
        """`requested_at`: used as the start of a process that has ended already, in clock ticks."""
        self._pid = pid
        self._job_id = job_id
        self._lease = lease
        self._crowd = crowd
        main = kin.stat(pid)
        self.since = main.started if main else requested_at
        # pid of each descendant that lived at the last look → when it started
        self.known = {pid: self.since}
        self._sessions = {pid}
        crowd.jobs.add(self)

    def remember_descendants(self) -> bool:
        """Remembers the present descendants, also of orphans in our sessions, and forgets what has
        ended: its number and that of its session may be another's soon. Returns whether one is
        new."""
        before = self.known.items()
        roots = [*self._living(), *self._crowd.orphans_in(self._sessions)]
        self.known, self._sessions = {}, set()
        for pid in kin.with_descendants(roots):
            if (stat := kin.stat(pid)) and len(self.known) < MOST_SEEN:
                self.known[pid] = stat.started
                self._sessions.add(stat.session)
        return not self.known.items() <= before

    def _living(self) -> list[int]:
        """Returns the known processes that live. A pid with another start time is another
        process."""
        return [pid for pid, started in self.known.items() if kin.start_ticks(pid) == started]

    def all(self) -> set[int]:
        return (
            kin.with_descendants(self._living())
            | kin.marked_processes(self._job_id, self._lease)
            | self.leftovers()
        )

    def leftovers(self) -> set[int]:
        strangers = self._crowd.orphans()
        return (
            kin.with_descendants(pid for pid in strangers if self._is_ours(pid))
            if strangers
            else set()
        )

    def claims(self, pid: int, stat: kin.Stat) -> bool:
        return (
            self.known.get(pid) == stat.started
            or stat.group == self._pid
            or stat.session in self._sessions
            or kin.has_marks(pid, self._job_id, self._lease)
        )

    def _is_ours(self, pid: int) -> bool:
        stat = kin.stat(pid)
        if stat is None:
            return False
        return self.claims(pid, stat) or not self._crowd.is_of_another(self, pid, stat)

    def doubtful(self) -> set[int]:
        """Returns orphans that no job claims and that this or another running job may have made."""
        found = set()
        for pid in self._crowd.orphans():
            stat = kin.stat(pid)
            if stat is None or stat.started < self.since or self._is_ours(pid):
                continue
            if not any(job.claims(pid, stat) for job in self._crowd.jobs):
                found.add(pid)
        return found

    def send(self, number: signal.Signals) -> None:
        """Signals the process group in one call, so that all its processes get it at the same time;
        then those that have left the group. A group without any of them is another's by now: the
        kernel gives the number of a process that has ended to a new one."""
        found = self.all()
        if self._pid and any(kin.group(pid) == self._pid for pid in found):  # 0 is our own group
            kin.send_to_group(self._pid, number)
        kin.send_signal(found, number)

    def release(self) -> None:
        self._crowd.jobs.discard(self)


class Crowd:
    """All running jobs without a cgroup."""

    def __init__(self, launchers: Launchers, main_pids: set[int]) -> None:
        self.jobs: set[Attributed] = set()
        self._launchers = launchers
        self._main_pids = main_pids
        self._looked_at = -SAME_LOOK_S  # by time.monotonic()
        self._by_session: dict[int, list[int]] = {}

    def orphans_in(self, sessions: Iterable[int]) -> list[int]:
        """Returns the orphans in these sessions. All jobs are asked about at once, and a job may
        have thousands of orphans: they are looked at together."""
        now = time.monotonic()
        if now - self._looked_at >= SAME_LOOK_S:
            self._looked_at, self._by_session = now, {}
            for pid in self.orphans():
                if stat := kin.stat(pid):
                    self._by_session.setdefault(stat.session, []).append(pid)
        return [pid for session in sessions for pid in self._by_session.get(session, ())]

    def orphans(self) -> set[int]:
        """Returns the processes whose parents died, without jobs' own processes whose launcher
        died."""
        return set(kin.orphans()) - self._launchers.pids - self._main_pids

    def is_of_another(self, asking: Attributed, pid: int, stat: kin.Stat) -> bool:
        """Whether another running job claims the process, or was running when the process
        started."""
        running = (job for job in self.jobs if job is not asking)
        return any(job.since <= stat.started or job.claims(pid, stat) for job in running)
