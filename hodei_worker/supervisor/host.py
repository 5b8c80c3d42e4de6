"""What the processes of all jobs of a supervisor share."""

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
    memory_was_short: Callable[[], bool]  # the kernel has killed somebody just now
    launchers: Launchers
    crowd: Crowd = field(init=False)
    # jobs' own processes: their exit codes are waited for by their jobs alone
    main_pids: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.crowd = Crowd(self.launchers, self.main_pids)

    def reap_orphans(self) -> None:
        """What jobs left behind and has ended by now; never the process of a job whose launcher
        died, which is found out first."""
        self.launchers.read_answers()
        kin.reap_orphans(self.main_pids | self.launchers.pids)
