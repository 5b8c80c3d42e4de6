"""Cancels: a job that waits ends at once; of one in flight, its worker is told to end it."""

import uuid
from typing import LiteralString, NamedTuple

from hodei.domain.actor import said_by
from hodei.store.database import Connection
from hodei.store.statements import brief_rows

# The queue row is the guard: the statement that deletes it decides, this cancel or a claim.
CANCEL_QUEUED = """
WITH unqueued AS (
    DELETE FROM job_queue q
    WHERE q.job_id = %(job)s
    RETURNING q.job_id
), cancelled AS (
    UPDATE jobs j
    SET state = 'CANCELLED',
        reason = 'CANCELLED',
        message = %(message)s,
        cancel_actor = %(actor)s,
        (updated_at, completed_at, cancel_requested_at) = (
            SELECT t.at, t.at, t.at
            FROM (SELECT greatest(
                clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
    FROM unqueued u
    WHERE j.id = u.job_id
      AND j.state = 'PENDING'
      AND j.lease IS NULL
    RETURNING j.id, j.correlation_id, j.updated_at
)
INSERT INTO domain_events (
    occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
SELECT c.updated_at, 'JobStatusChanged', c.id::text, c.correlation_id, %(actor)s,
       jsonb_build_object(
           'job_id', c.id,
           'old_state', 'PENDING',
           'new_state', 'CANCELLED',
           'reason', 'CANCELLED')
       || %(said)s::jsonb
FROM cancelled c
RETURNING correlation_id
"""

# A job that waits without a queue row (somebody's hand took it) is cancelled at once, too.
CANCEL_STRAY = """
WITH cancelled AS (
    UPDATE jobs j
    SET state = 'CANCELLED',
        reason = 'CANCELLED',
        message = %(message)s,
        cancel_actor = %(actor)s,
        (updated_at, completed_at, cancel_requested_at) = (
            SELECT t.at, t.at, t.at
            FROM (SELECT greatest(
                clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
    WHERE j.id = %(job)s::uuid
      AND j.state = 'PENDING'
      AND j.lease IS NULL
      AND NOT EXISTS (SELECT FROM job_queue q WHERE q.job_id = j.id)
    RETURNING j.id, j.correlation_id, j.updated_at
)
INSERT INTO domain_events (
    occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
SELECT c.updated_at, 'JobStatusChanged', c.id::text, c.correlation_id, %(actor)s,
       jsonb_build_object(
           'job_id', c.id,
           'old_state', 'PENDING',
           'new_state', 'CANCELLED',
           'reason', 'CANCELLED')
       || %(said)s::jsonb
FROM cancelled c
RETURNING correlation_id
"""


async def cancel_queued(conn: Connection, job_id: uuid.UUID, actor: str) -> str | None:
    """Makes a job CANCELLED that waits in the queue, and returns its correlation id. None: it does
    not wait there."""
    return await _cancelled(conn, CANCEL_QUEUED, job_id, actor)


async def cancel_stray(conn: Connection, job_id: uuid.UUID, actor: str) -> str | None:
    """Makes a job CANCELLED that waits and is in no queue, and returns its correlation id. None: it
    is not so."""
    return await _cancelled(conn, CANCEL_STRAY, job_id, actor)


async def _cancelled(
    conn: Connection, statement: LiteralString, job_id: uuid.UUID, actor: str
) -> str | None:
    parameters = {
        "job": job_id,
        "actor": actor,
        "said": said_by(actor),
        "message": f"cancelled by {actor}",
    }
    found = await brief_rows(conn, statement, parameters)
    return found[0][0] if found else None


# What a lease said of a cancel before it was requested is not true: its worker would not be told.
CANCEL_IN_FLIGHT = """
WITH requested AS (
    UPDATE jobs j
    SET cancel_actor = %(actor)s,
        (updated_at, cancel_requested_at) = (
            SELECT t.at, t.at
            FROM (SELECT greatest(
                clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
    WHERE j.id = %(job)s
      AND j.lease IS NOT NULL
      AND j.cancel_requested_at IS NULL
    RETURNING j.id, j.correlation_id, j.lease, j.worker_id, j.updated_at
), undelivered AS (
    UPDATE leases l
    SET cancel_delivered_at = NULL,
        stopping_at = NULL
    FROM requested r
    WHERE l.lease = r.lease
      AND num_nonnulls(l.cancel_delivered_at, l.stopping_at) > 0
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT r.updated_at, 'JobCancelRequested', r.id::text, r.correlation_id, %(actor)s,
           r.worker_id,
           jsonb_build_object('job_id', r.id, 'worker_id', r.worker_id, 'lease', r.lease)
           || %(said)s::jsonb
    FROM requested r
)
SELECT r.correlation_id, r.worker_id, pg_notify('hodei_cancel', r.worker_id::text)
FROM requested r
"""


class Requested(NamedTuple):
    """A job in flight whose cancel is written down."""

    correlation_id: str
    worker_id: uuid.UUID


async def request_cancel(conn: Connection, job_id: uuid.UUID, actor: str) -> Requested | None:
    """Requests the cancel of a job in flight, and notifies the server that holds its worker's
    stream. None: it is not in flight, or its cancel was requested before."""
    found = await brief_rows(
        conn, CANCEL_IN_FLIGHT, {"job": job_id, "actor": actor, "said": said_by(actor)}
    )
    return Requested(*found[0][:2]) if found else None
