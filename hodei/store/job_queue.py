"""The queue: what it requires, and what time does to its rows (due, expired). claims.py takes from
it."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import brief_rows, rows

HEAD = 1000
"""Ready jobs at the head of the queue that are asked what they require."""

REQUIRED = """
SELECT h.labels, sum(count(*)) OVER () < %(head)s
FROM (
    SELECT q.labels
    FROM job_queue q
    WHERE q.waiting IS NULL
    ORDER BY q.priority DESC, q.enqueued_at, q.job_id
    LIMIT %(head)s
) h
GROUP BY h.labels
"""


class Required(NamedTuple):
    """The sets of labels that jobs at the head of the queue require."""

    sets: list[dict[str, str]]
    all_ready: bool  # False: there are more ready jobs behind these


async def required(conn: Connection) -> Required:
    """Returns what the first HEAD ready jobs require of a worker."""
    found = await rows(conn, REQUIRED, {"head": HEAD})
    sets = [row[0] for row in found if isinstance(row[0], dict)]
    return Required(sets, all(row[1] for row in found))


# A queue_timeout counts from when the row could first be seen: the transaction that inserted it may
# have been open for long.
START_TIMEOUTS = """
WITH unseen AS MATERIALIZED (
    SELECT q.job_id
    FROM job_queue q
    WHERE q.unseen_ms IS NOT NULL
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
UPDATE job_queue q
SET unseen_ms = NULL,
    expires_at = least(greatest(q.ready_at, statement_timestamp()), timestamptz '9999-01-01Z')
        + greatest(0, least(q.unseen_ms, 31536000000)) * interval '1 millisecond'
FROM unseen u
WHERE q.job_id = u.job_id
"""


async def start_timeouts(conn: Connection) -> None:
    """Starts the queue_timeout of new rows, 1,000 at most: the next sweep takes the rest."""
    await brief_rows(conn, START_TIMEOUTS, {})


# The release before puts jobs back into the queue without their project, and claims for workers that
# are limited to projects leave such rows out. A row without a job, or whose job a hand has left
# without a project, is filed as well, so that it does not come back.
FILE = """
WITH unfiled AS MATERIALIZED (
    SELECT q.job_id
    FROM job_queue q
    WHERE q.project = ''
    ORDER BY q.job_id
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
UPDATE job_queue q
SET project = coalesce(nullif(j.project, ''), 'default')
FROM unfiled u
LEFT JOIN jobs j ON j.id = u.job_id
WHERE q.job_id = u.job_id
"""


async def file(conn: Connection) -> None:
    """Gives rows that say no project that of their job, 1,000 at most: the next sweep takes the
    rest."""
    await brief_rows(conn, FILE, {})


DUE = """
SELECT q.job_id
FROM job_queue q
WHERE q.waiting IS NOT NULL
  AND q.ready_at <= statement_timestamp()
ORDER BY q.ready_at
LIMIT 1000
"""


async def due(conn: Connection) -> list[uuid.UUID]:
    """Returns jobs whose run_at or back-off has come, 1,000 at most: the next sweep takes the
    rest."""
    return [row[0] for row in await rows(conn, DUE)]


# The age of a job that becomes ready is counted from then.
PROMOTE = """
WITH due AS MATERIALIZED (
    SELECT q.job_id
    FROM job_queue q
    WHERE q.job_id = ANY (%(jobs)s::uuid[])
      AND q.waiting IS NOT NULL
      AND q.ready_at <= statement_timestamp()
    ORDER BY q.job_id
    FOR UPDATE SKIP LOCKED
), promoted AS (
    UPDATE job_queue q
    SET waiting = NULL,
        enqueued_at = q.ready_at,
        ready_at = NULL
    FROM due d
    WHERE q.job_id = d.job_id
    RETURNING q.job_id
)
SELECT p.job_id,
       CASE WHEN row_number() OVER () = 1 THEN pg_notify('hodei_work', '')::text END
FROM promoted p
"""


async def promote(conn: Connection, jobs: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Makes those of the jobs ready that are due, notifies servers, and returns them."""
    return {row[0] for row in await brief_rows(conn, PROMOTE, {"jobs": array(jobs)})}


EXPIRED = """
SELECT q.job_id
FROM job_queue q
WHERE q.expires_at <= statement_timestamp()
ORDER BY q.expires_at
LIMIT 500
"""


async def expired(conn: Connection) -> list[uuid.UUID]:
    """Returns jobs that have waited for longer than their queue_timeout, 500 at most."""
    return [row[0] for row in await rows(conn, EXPIRED)]


class Expired(NamedTuple):
    """A job that has failed because it waited for too long."""

    job_id: uuid.UUID
    correlation_id: str


# The queue row is the guard, as for a cancel: the statement that deletes it decides.
EXPIRE = """
WITH due AS MATERIALIZED (
    SELECT q.job_id
    FROM job_queue q
    WHERE q.job_id = ANY (%(jobs)s::uuid[])
      AND q.expires_at <= statement_timestamp()
    ORDER BY q.job_id
    FOR UPDATE SKIP LOCKED
), unqueued AS (
    DELETE FROM job_queue q
    USING due d
    WHERE q.job_id = d.job_id
    RETURNING q.job_id
), expired AS (
    UPDATE jobs j
    SET state = 'FAILED',
        reason = 'TIMEOUT',
        message = 'waited in the queue longer than ' || (j.spec ->> 'queue_timeout') || ' s',
        (updated_at, completed_at) = (
            SELECT t.at, t.at
            FROM (SELECT greatest(
                clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
    FROM unqueued u
    WHERE j.id = u.job_id
      AND j.state = 'PENDING'
      AND j.lease IS NULL
    RETURNING j.id, j.correlation_id, j.updated_at, j.message
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT e.updated_at, 'JobStatusChanged', e.id::text, e.correlation_id, 'system:job_rescuer',
           jsonb_build_object(
               'job_id', e.id,
               'old_state', 'PENDING',
               'new_state', 'FAILED',
               'reason', 'TIMEOUT',
               'message', e.message)
    FROM expired e
)
SELECT e.id, e.correlation_id
FROM expired e
"""


async def expire(conn: Connection, jobs: Sequence[uuid.UUID]) -> list[Expired]:
    """Ends those of the jobs whose queue_timeout has passed (PENDING → FAILED, TIMEOUT), and
    returns them."""
    return [Expired(*row) for row in await brief_rows(conn, EXPIRE, {"jobs": array(jobs)})]
