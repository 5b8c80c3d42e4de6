"""The sweep for what a hand has broken: jobs that nothing would move on, and leases and queue rows
without their job (store/invariants.py)."""

import random
import time

from loguru import logger

from hodei.domain.errors import Invalid
from hodei.fleet.regain import mend
from hodei.flow.set_aside import set_aside
from hodei.flow.sweeps.each import ACTOR, for_each_job
from hodei.store import invariants
from hodei.store.database import Database

CHECK_EVERY_S = (3.0, 6.0)
"""Seconds after which a server asks whether it is its turn to look for broken rows."""

CHECK_TIMEOUT_S = 60.0

ODD = Invalid("its state is one that no job can have, or its lease is another job's")


class BrokenRows:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._check_at = 0.0
        self._log = logger.bind(component="JobRescuer")

    async def mend(self) -> None:
        """Finds and mends broken rows, if it is time to look."""
        now = time.monotonic()
        if now < self._check_at:
            return
        self._check_at = now + random.uniform(*CHECK_EVERY_S)  # noqa: S311
        stray = await self._database.run(invariants.look, timeout_s=CHECK_TIMEOUT_S)
        if stray.jobs:
            await for_each_job(self._database, stray.jobs, mend)
        if stray.odd:
            await set_aside(self._database, stray.odd, ODD, ACTOR)
        if stray.queued:
            self._log.warning(
                "{} rows of job_queue had no job that waits and are gone, the first is {}",
                len(stray.queued),
                stray.queued[0],
            )
        if dropped := await self._database.run(invariants.drop_leases):
            self._log.warning(
                "{} leases had no job and are gone, the first is {}", len(dropped), dropped[0]
            )
