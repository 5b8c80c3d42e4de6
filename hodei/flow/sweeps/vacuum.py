"""Dead rows of the hot tables are vacuumed while jobs are claimed: a claim wades through those that
are left (docs/adr/0005-servers-vacuum-the-hot-tables.md)."""

import time

from loguru import logger

from hodei.store import dead_rows
from hodei.store.database import Database

VACUUM_EVERY_S = 2.0
"""Seconds between two vacuums, if there were enough claims."""

ENOUGH_CLAIMS = 200
"""Claims of this server after which it vacuums."""

MANY_DEAD = 10_000
"""Rows that vacuums leave in the queue. Some are always there for a moment; more than these are held
back by an old transaction."""

WARN_EVERY_S = 30.0


class Vacuum:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._told_not_permitted = False
        self._vacuumed_at, self._claims_before = 0.0, 0
        self._warned_at = -WARN_EVERY_S
        self._log = logger.bind(component="JobRescuer")

    async def run(self, claims: int) -> None:
        """Vacuums if it is time to. `claims`: jobs that this server has claimed since its start."""
        now = time.monotonic()
        if now - self._vacuumed_at < VACUUM_EVERY_S or claims - self._claims_before < ENOUGH_CLAIMS:
            return
        self._vacuumed_at, self._claims_before = now, claims
        if skipped := await self._database.run(dead_rows.vacuum):
            self._warn_not_permitted(skipped[0])
            return
        held_back = await self._database.run(dead_rows.held_back)
        if held_back.dead_rows > MANY_DEAD and now - self._warned_at >= WARN_EVERY_S:
            self._warned_at = now
            self._log.warning(
                "job_queue has {} dead rows that no vacuum can remove; the oldest transaction is of {}: end it, or claims get slower",
                held_back.dead_rows,
                held_back.by or "somebody whom this role cannot see",
            )

    def _warn_not_permitted(self, words: str) -> None:
        """Warns once: autovacuum does it later, and no transaction is to blame for dead rows until
        then."""
        if not self._told_not_permitted:
            self._told_not_permitted = True
            self._log.warning(
                "this role may not vacuum job_queue and leases; until autovacuum comes, claims get slower under load "
                "(PostgreSQL: {}); docs/database.md says who may",
                words,
            )
