"""Dead rows of the queue and the leases: they are vacuumed often, and whoever keeps them from going
is named."""

from typing import NamedTuple

import psycopg

from hodei.store import sqlstate
from hodei.store.database import Connection
from hodei.store.statements import rows

# Each job passes through both tables and leaves a dead row in each. Autovacuum looks once a minute,
# and by then a claim would walk over tens of thousands. These statements take a few milliseconds,
# and do not wait for another server that does the same.
VACUUM = (
    "VACUUM (SKIP_LOCKED, TRUNCATE false) job_queue",
    "VACUUM (SKIP_LOCKED, TRUNCATE false) leases",
)


async def vacuum(conn: Connection) -> list[str]:
    """Vacuums both tables, and returns PostgreSQL's warnings: it does not raise an error for a
    table that this role may not vacuum. A table that is locked is skipped without a word."""
    skipped: list[str] = []

    def note(notice: psycopg.errors.Diagnostic) -> None:
        if notice.sqlstate != sqlstate.LOCKED and notice.message_primary:
            skipped.append(notice.message_primary)

    conn.add_notice_handler(note)
    try:
        for statement in VACUUM:
            await conn.execute(statement)
    finally:
        conn.remove_notice_handler(note)
    return skipped


class HeldBack(NamedTuple):
    """Dead rows that vacuums cannot remove from the queue."""

    dead_rows: int
    by: str | None  # the oldest transaction or slot that needs them, as far as this role may see


HELD_BACK = """
SELECT pg_stat_get_dead_tuples('job_queue'::regclass), (
    SELECT h.who
    FROM (
        SELECT format(
                   'process %s (%s, user %s), in a transaction since %s',
                   a.pid,
                   coalesce(nullif(a.application_name, ''), 'no name'),
                   a.usename,
                   to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS')),
               age(a.backend_xmin)
        FROM pg_stat_activity a
        WHERE a.backend_xmin IS NOT NULL
          AND a.pid <> pg_backend_pid()
        UNION ALL
        SELECT 'prepared transaction ' || p.gid, age(p.transaction)
        FROM pg_prepared_xacts p
        UNION ALL
        SELECT 'replication slot ' || s.slot_name, age(s.xmin)
        FROM pg_replication_slots s
        WHERE s.xmin IS NOT NULL
    ) h (who, age)
    ORDER BY h.age DESC
    LIMIT 1
)
"""


async def held_back(conn: Connection) -> HeldBack:
    """Returns how many dead rows the queue has, and who needs them."""
    return HeldBack(*(await rows(conn, HELD_BACK))[0])
