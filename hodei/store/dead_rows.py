"""Dead rows of the queue and the leases: they are vacuumed often, and what holds them is named."""

from typing import NamedTuple

import psycopg

from hodei.store import sqlstate
from hodei.store.database import Connection
from hodei.store.statements import rows

# Each job passes through both tables and leaves a dead row in each. Autovacuum looks once a minute:
# by then a claim would wade through tens of thousands. Two statements of a few milliseconds;
# another server that is at it is not waited for.
VACUUM = (
    "VACUUM (SKIP_LOCKED, TRUNCATE false) job_queue",
    "VACUUM (SKIP_LOCKED, TRUNCATE false) leases",
)


async def vacuum(conn: Connection) -> list[str]:
    """What PostgreSQL skipped, in its words: a table that this role may not vacuum is a warning to
    it, and no error."""
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
    """What vacuums cannot remove from the queue, and who is to blame as far as this role may
    see."""

    dead_rows: int
    by: str | None


HELD_BACK = """
SELECT pg_stat_get_dead_tuples('job_queue'::regclass), (
    SELECT h.who FROM (
        SELECT format('process %s (%s, user %s), in a transaction since %s', a.pid, coalesce(nullif(a.application_name, ''), 'no name'),
                      a.usename, to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS')), age(a.backend_xmin)
        FROM pg_stat_activity a WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_backend_pid()
        UNION ALL SELECT 'prepared transaction ' || p.gid, age(p.transaction) FROM pg_prepared_xacts p
        UNION ALL SELECT 'replication slot ' || s.slot_name, age(s.xmin) FROM pg_replication_slots s WHERE s.xmin IS NOT NULL
    ) h (who, age)
    ORDER BY h.age DESC
    LIMIT 1
)
"""


async def held_back(conn: Connection) -> HeldBack:
    return HeldBack(*(await rows(conn, HELD_BACK))[0])
