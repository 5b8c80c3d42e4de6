"""One batch of what workers report of their leases, accepts and results: it is stored, and each
report is answered with whether its lease holds."""

import uuid
from collections.abc import Callable
from typing import NamedTuple

from loguru import logger

from hodei.domain.errors import Locked
from hodei.flow import job_lines
from hodei.store import leases, results
from hodei.store.database import Database
from hodei.store.leases import Claimant
from hodei.store.results import Result


class Report(NamedTuple):
    """An accept (`result` is None) or a result."""

    claimant: Claimant
    result: Result | None


class Reports:
    def __init__(self, database: Database, ended: Callable[[uuid.UUID], None]) -> None:
        """`ended` is called with the id of each job of which an attempt has ended."""
        self._database = database
        self._ended = ended
        self._log = logger.bind(component="JobController")

    async def store(self, reports: list[Report]) -> list[bool | Exception]:
        """Stores a batch. Returns whether the lease of each report holds; Locked for those whose
        rows are locked, while the others are stored."""
        try:
            return await self._store(reports)
        except Locked as error:
            numbers = [report.claimant.lease for report in reports]
            locked = await self._database.run(lambda conn: leases.locked(conn, numbers))
            if not locked:
                raise
            free = iter(
                await self._store([one for one in reports if one.claimant.lease not in locked])
            )
            return [error if one.claimant.lease in locked else next(free) for one in reports]

    async def _store(self, reports: list[Report]) -> list[bool | Exception]:
        """Stores results before accepts: if both of a lease are in the batch, the result writes
        RUNNING as well, and the accept holds with it."""
        if not reports:
            return []
        ends = {one.claimant: one.result for one in reports if one.result}
        accepts = list(
            dict.fromkeys(
                one.claimant for one in reports if one.result is None and one.claimant not in ends
            )
        )
        ended, held = await self._database.run(
            lambda conn: results.settle(conn, list(ends.values()), accepts)
        )
        if ended:
            job_lines.say(self._log, job_lines.of_ends(ended))
            for end in ended:
                self._ended(end.job_id)
        if accepted := [job_lines.of_accept(one) for one in held.values() if one.now]:
            job_lines.say(self._log, accepted)
        holding = {Claimant(end.lease, end.worker_id) for end in ended}.union(held)
        return [report.claimant in holding for report in reports]
