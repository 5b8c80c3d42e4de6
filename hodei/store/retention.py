"""Retention: final jobs are deleted after a while, then whole days of events and logs, workers that
are gone, and tokens that can no longer be redeemed."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import psycopg

from hodei.store.database import Connection
from hodei.store.statements import rows

DAYS_AHEAD = 8
"""Days whose partitions are made ahead: a week without a running server does no harm."""

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '100ms'"
"""Inserts and reads queue behind a lock that we wait for, and must not do so for long."""


class Busy(Exception):
    """Somebody else holds a lock on the tables. Nothing was done: it is to be tried again."""


@asynccontextmanager
async def _impatient(conn: Connection) -> AsyncIterator[None]:
    """Opens a transaction that waits 100 ms at most for a lock. Busy: that was not enough."""
    try:
        async with conn.transaction():
            await conn.execute(LOCK_TIMEOUT)
            yield
    except psycopg.errors.LockNotAvailable as error:
        raise Busy(str(error)) from error


# If another server is doing it, skip: it makes the same partitions.
MAKE_DAYS = """
SELECT CASE
           WHEN pg_try_advisory_xact_lock(hashtext('hodei days'))
               THEN hodei_make_days(%(ahead)s)
           ELSE 0
       END
"""


async def make_days(conn: Connection) -> int:
    """Makes partitions for DAYS_AHEAD days, and returns how many it made. Busy: none."""
    async with _impatient(conn):
        made: int = (await rows(conn, MAKE_DAYS, {"ahead": DAYS_AHEAD}))[0][0]
    return made


OUTSIDE_DAYS = """
SELECT (SELECT count(*) FROM (SELECT FROM domain_events_default LIMIT 10000) e),
       (SELECT count(*) FROM (SELECT FROM job_logs_default LIMIT 10000) g)
"""


class OutsideDays(NamedTuple):
    """Rows that lie in no day's partition, each kind counted up to 10,000."""

    events: int
    chunks: int  # of logs


async def outside_days(conn: Connection) -> OutsideDays:
    """Returns how many rows lie in the default partitions."""
    return OutsideDays(*(await rows(conn, OUTSIDE_DAYS))[0])


# Oldest first, by the index of creation. A job that was created that long ago and is not final
# stays: each batch looks at it again.
DELETE_JOBS = """
WITH old AS MATERIALIZED (
    SELECT j.id
    FROM jobs j
    WHERE j.created_at < statement_timestamp() - make_interval(days => %(days)s)
      AND j.completed_at < statement_timestamp() - make_interval(days => %(days)s)
    ORDER BY j.created_at, j.id
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM jobs j
    WHERE j.id = ANY (ARRAY(SELECT o.id FROM old o))
    RETURNING j.id
)
SELECT count(*) FROM gone
"""


async def delete_jobs(conn: Connection, days: int, most: int) -> int:
    """Deletes up to `most` jobs that ended `days` days ago or earlier, and returns how many."""
    count: int = (await rows(conn, DELETE_JOBS, {"days": days, "most": most}))[0][0]
    return count


class Day(NamedTuple):
    """A partition."""

    name: str
    parent: str
    day: date


DAYS = """
SELECT c.relname, p.relname
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class p ON p.oid = i.inhparent
WHERE i.inhparent IN ('domain_events'::regclass, 'job_logs'::regclass)
  AND c.relname ~ ('^' || p.relname || '_[0-9]{8}$')
ORDER BY c.relname
"""


async def old_days(conn: Connection, days: int) -> list[Day]:
    """Returns the days that ended `days` days ago or earlier, oldest first."""
    first_kept = datetime.now(UTC).date() - timedelta(days=days)
    found = [(name, parent, _day_of(name)) for name, parent in await rows(conn, DAYS)]
    return [Day(name, parent, day) for name, parent, day in found if day and day < first_kept]


def _day_of(name: str) -> date | None:
    """Returns the day that a partition's name says; None: none, as a hand has made it."""
    try:
        return datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


DROP_DAY = "SELECT hodei_drop_day(%(parent)s, %(day)s::date)"


async def drop_day(conn: Connection, day: Day) -> uuid.UUID | None:
    """Drops a day. Where a job that is not deleted yet has events or logs in it, it returns that
    job and drops nothing. Busy: nothing was done."""
    async with _impatient(conn):
        holder: uuid.UUID | None = (
            await rows(conn, DROP_DAY, {"parent": day.parent, "day": day.day.isoformat()})
        )[0][0]
    return holder


DELETE_WORKERS = """
DELETE FROM workers w
WHERE w.state = 'TERMINATED'
  AND w.updated_at < clock_timestamp() - make_interval(days => %(days)s)
  AND NOT EXISTS (SELECT FROM leases l WHERE l.worker_id = w.id)
RETURNING w.id
"""

DELETE_TOKENS = """
DELETE FROM worker_bootstrap_tokens t
WHERE coalesce(t.consumed_at, t.revoked_at, t.expires_at)
      < clock_timestamp() - make_interval(days => %(days)s)
  AND (t.consumed_at IS NOT NULL
       OR t.revoked_at IS NOT NULL
       OR t.expires_at < clock_timestamp())
RETURNING t.created_at
"""


async def delete_workers(conn: Connection, days: int) -> int:
    """Deletes workers that have been TERMINATED for `days` days, and returns how many."""
    return len(await rows(conn, DELETE_WORKERS, {"days": days}))


async def delete_tokens(conn: Connection, days: int) -> int:
    """Deletes tokens that have not been usable for `days` days, and returns how many."""
    return len(await rows(conn, DELETE_TOKENS, {"days": days}))
