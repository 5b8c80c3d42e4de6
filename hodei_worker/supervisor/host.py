"""The parts that all jobs of a supervisor share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.launchers import Launchers
from hodei_worker.supervisor.members import Crowd
from hodei_worker.supervisor.place import Folders
from hodei_worker.supervisor.poller import Poller


@dataclass
class Host:
    poller: Poller
    folders: Folders
    log_limit: int
    group: asyncio.TaskGroup
    memory_was_short: Callable[
        [], bool
    ]  # whether the kernel killed a process for lack of memory just now
    launchers: Launchers
    crowd: Crowd = field(init=False)
    # pids of the jobs' own processes; only the job itself may wait for them
    main_pids: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.crowd = Crowd(self.launchers, self.main_pids)

    def reap_orphans(self) -> None:
        """Waits for ended processes that jobs have left. It reads the launchers' answers first, so
        that it never waits for the process of a job whose launcher has just died."""
        self.launchers.read_answers()
        kin.reap_orphans(self.main_pids | self.launchers.pids)
