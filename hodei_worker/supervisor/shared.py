"""The parts that all jobs of a supervisor share."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.launchers import Launchers
from hodei_worker.supervisor.members import Crowd
from hodei_worker.supervisor.place import Folders
from hodei_worker.supervisor.poller import Poller


@dataclass
class Shared:
    poller: Poller
    folders: Folders
    log_limit: int
    group: asyncio.TaskGroup
    # whether the kernel killed a process for lack of memory just now
    memory_was_short: Callable[[], bool]
    launchers: Launchers
    crowd: Crowd = field(init=False)
    # pids of the jobs' own processes; only the job itself may wait for them
    main_pids: set[int] = field(default_factory=set)
    _search_until: float = 0.0  # monotonic

    def __post_init__(self) -> None:
        self.crowd = Crowd(self.launchers, self.main_pids)

    def search_newborn(self, seconds: float) -> None:
        """For so long the process of a job whose launcher has died is searched for. It may have
        ended: its exit code would be lost if it was reaped as an orphan."""
        self._search_until = time.monotonic() + seconds

    @property
    def searches_newborn(self) -> bool:
        return time.monotonic() < self._search_until

    def end_strays(self) -> None:
        """Kills what ended jobs without a cgroup have left, when no job runs. Each job that ends
        looks for that itself; but two that end together may each take it for the other's."""
        found = self.crowd.orphans()
        self.launchers.read_answers()
        if not (self.crowd.jobs or self.launchers.are_busy or self.searches_newborn):
            kin.send_signal(found - self.main_pids - self.launchers.pids, signal.SIGKILL)

    def reap_orphans(self) -> None:
        """Waits for ended processes that jobs have left. Between it reads the launchers' answers, so
        that it never waits for the process of a job whose launcher has just died."""
        found = kin.orphans()
        self.launchers.read_answers()
        if not self.searches_newborn:
            kin.reap(set(found) - self.main_pids - self.launchers.pids)
