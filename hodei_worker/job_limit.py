"""How many jobs a worker may still take (--max-jobs)."""

import asyncio


class JobLimit:
    """Counts the jobs that a worker has taken."""

    def __init__(self, most: int = 0) -> None:
        """`most`: jobs in all; 0: no limit."""
        self._left = most or None
        self.used_up = asyncio.Event()  # set: the last job has ended

    def count_job(self) -> bool:
        """Counts a job. Returns whether it was the last one."""
        if self._left is None:
            return False
        self._left -= 1
        return self._left == 0

    def now_running(self, jobs: int) -> None:
        if self._left == 0 and not jobs:
            self.used_up.set()
