"""Which processes are a job's: by its cgroup, or by what can be known without one."""

import signal
from typing import Protocol

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.cgroups import Cgroup
from hodei_worker.supervisor.launchers import Launchers

MOST_SEEN = 10_000
"""Processes of one job that are remembered."""


class Members(Protocol):
    """The processes of one attempt, but for those that have ended."""

    def all(self) -> set[int]: ...

    def leftovers(self) -> set[int]:
        """When the job's own process has ended: nearly always nobody, and quick to say so."""
        ...

    def send(self, number: signal.Signals) -> None: ...

    def doubtful(self) -> set[int]:
        """What may be this job's or another's."""
        ...

    def release(self) -> None:
        """When it has ended."""
        ...


class Contained:
    """In a cgroup: whoever is in it, whatever it did to its group, session, environment and
    parents."""

    def __init__(self, cgroup: Cgroup, launchers: Launchers, pid: int) -> None:
        self._cgroup = cgroup
        self._launchers = launchers
        self._pid = pid

    def all(self) -> set[int]:
        return self._cgroup.pids()

    def leftovers(self) -> set[int]:
        return set() if self._cgroup.empty else self._cgroup.pids()

    def send(self, number: signal.Signals) -> None:
        if number == signal.SIGKILL and self._launchers.vacate(self._cgroup):
            self._cgroup.kill()
        else:
            kin.send_signal(self._cgroup.pids(), number)

    def doubtful(self) -> set[int]:
        return set()

    def release(self) -> None:
        """What could not be killed keeps it."""
        if self._cgroup.empty:
            self._launchers.give_back(self._cgroup)


class Attributed:
    """Without a cgroup: by group, by session, by parents while they lived, by the lease in their
    environment; and an orphan that nobody else could have made.

    The rest is told as doubtful: who cleared its environment, left its session and lost its parents
    within half a second, while more than one job ran, may be any job's.
    """

    def __init__(
        self, pid: int, job_id: str, lease: int, crowd: "Crowd", requested_at: int
    ) -> None:
        """asked_at: the start of one that has ended by now, as near as we know it."""
        self._pid = pid
        self._job_id = job_id
        self._lease = lease
        self._crowd = crowd
        main = kin.stat(pid)
        self.since = main.started if main else requested_at
        self.known = {pid: self.since}  # all that descended from it at some look → when it started
        self._sessions = {pid}
        crowd.jobs.add(self)

    def remember_descendants(self) -> bool:
        """Remembers who descends from it now; True: somebody is new."""
        before = len(self.known)
        for pid in kin.with_descendants(self._living()):
            if (stat := kin.stat(pid)) and len(self.known) < MOST_SEEN:
                self.known[pid] = stat.started
                self._sessions.add(stat.session)
        return len(self.known) > before

    def _living(self) -> list[int]:
        """Of those seen; a pid may be another process's by now."""
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
        """Orphans that nobody claims, and that this job or another one that runs may have made."""
        found = set()
        for pid in self._crowd.orphans():
            stat = kin.stat(pid)
            if stat is None or stat.started < self.since or self._is_ours(pid):
                continue
            if not any(job.claims(pid, stat) for job in self._crowd.jobs):
                found.add(pid)
        return found

    def send(self, number: signal.Signals) -> None:
        """To the group at once, so that its processes hear it together; then to what has left
        it."""
        escaped = self.all()
        kin.send_to_group(self._pid, number)
        kin.send_signal(escaped, number)

    def release(self) -> None:
        self._crowd.jobs.discard(self)


class Crowd:
    """All jobs that run without a cgroup."""

    def __init__(self, launchers: Launchers, main_pids: set[int]) -> None:
        self.jobs: set[Attributed] = set()
        self._launchers = launchers
        self._main_pids = main_pids

    def orphans(self) -> set[int]:
        """What the kernel gave to us, but for jobs' own processes whose launcher died."""
        return set(kin.orphans()) - self._launchers.pids - self._main_pids

    def is_of_another(self, asking: Attributed, pid: int, stat: kin.Stat) -> bool:
        """Whether another job that runs claims it, or ran when it started."""
        running = (job for job in self.jobs if job is not asking)
        return any(job.since <= stat.started or job.claims(pid, stat) for job in running)
