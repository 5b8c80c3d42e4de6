"""Many jobs are cancelled at once: what store/cancels.py does for one, over arrays of ids.

A row that somebody else has locked is passed over (rule 17). flow/cancel_many.py tries its job
again."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.actor import said_by
from hodei.domain.job import JobState
from hodei.domain.state_words import state_of
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import guarded_rows

# What the statements for jobs that wait have in common: the jobs of `chosen` end.
END_CHOSEN = """
), cancelled AS (
    UPDATE jobs j
    SET state = 'CANCELLED',
        reason = 'CANCELLED',
        message = 'cancelled by ' || %(actor)s::text,
        cancel_actor = %(actor)s::text,
        (updated_at, completed_at, cancel_requested_at) = (
            SELECT t.at, t.at, t.at
            FROM (SELECT greatest(
                clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
    FROM chosen s
    WHERE j.id = s.id
      AND j.id = ANY (%(jobs)s::uuid[])
      AND j.state = 'PENDING'
      AND j.lease IS NULL
    RETURNING j.id, j.correlation_id, j.updated_at
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT c.updated_at, 'JobStatusChanged', c.id::text, c.correlation_id, %(actor)s::text,
           jsonb_build_object(
               'job_id', c.id,
               'old_state', 'PENDING',
               'new_state', 'CANCELLED',
               'reason', 'CANCELLED')
           || %(said)s::jsonb
    FROM cancelled c
)
SELECT c.id, c.correlation_id FROM cancelled c
"""

# The queue row is the guard, as for one job; it is deleted where the job's row is free as well.
CHOOSE_QUEUED = """
WITH waiting AS MATERIALIZED (
    SELECT q.job_id
    FROM job_queue q
    WHERE q.job_id = ANY (%(jobs)s::uuid[])
    ORDER BY q.job_id
    FOR UPDATE SKIP LOCKED
), free AS MATERIALIZED (
    SELECT j.id
    FROM jobs j
    WHERE j.id = ANY (%(jobs)s::uuid[])
      AND (%(states)s::text[] IS NULL OR j.state = ANY (%(states)s::text[]))
      AND j.id = ANY (ARRAY(SELECT w.job_id FROM waiting w))
      AND j.state = 'PENDING'
      AND j.lease IS NULL
    ORDER BY j.id
    FOR UPDATE SKIP LOCKED
), chosen AS (
    DELETE FROM job_queue q
    USING free f
    WHERE q.job_id = f.id
      AND q.job_id = ANY (%(jobs)s::uuid[])
    RETURNING q.job_id AS id"""
QUEUED = CHOOSE_QUEUED + END_CHOSEN

# Jobs that wait without a queue row: somebody's hand took it.
CHOOSE_STRAY = """
WITH chosen AS MATERIALIZED (
    SELECT j.id
    FROM jobs j
    WHERE j.id = ANY (%(jobs)s::uuid[])
      AND (%(states)s::text[] IS NULL OR j.state = ANY (%(states)s::text[]))
      AND j.state = 'PENDING'
      AND j.lease IS NULL
      AND NOT EXISTS (
          SELECT FROM job_queue q
          WHERE q.job_id = j.id AND q.job_id = ANY (%(jobs)s::uuid[]))
    ORDER BY j.id
    FOR UPDATE OF j SKIP LOCKED"""
STRAY = CHOOSE_STRAY + END_CHOSEN

# Each worker is notified once. What a lease said of a cancel before is not true, as in cancels.py.
IN_FLIGHT = """
WITH free AS MATERIALIZED (
    SELECT j.id
    FROM jobs j
    WHERE j.id = ANY (%(jobs)s::uuid[])
      AND (%(states)s::text[] IS NULL OR j.state = ANY (%(states)s::text[]))
      AND j.lease IS NOT NULL
      AND j.cancel_requested_at IS NULL
    ORDER BY j.id
    FOR UPDATE SKIP LOCKED
), requested AS (
    UPDATE jobs j
    SET cancel_actor = %(actor)s::text,
        (updated_at, cancel_requested_at) = (
            SELECT t.at, t.at
            FROM (SELECT greatest(
                clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
    FROM free f
    WHERE j.id = f.id
      AND j.id = ANY (%(jobs)s::uuid[])
      AND j.lease IS NOT NULL
      AND j.cancel_requested_at IS NULL
    RETURNING j.id, j.correlation_id, j.lease, j.worker_id, j.updated_at
), undelivered AS (
    UPDATE leases l
    SET cancel_delivered_at = NULL,
        stopping_at = NULL
    FROM requested r
    WHERE l.lease = r.lease
      AND l.lease = ANY (ARRAY(SELECT r.lease FROM requested r))
      AND num_nonnulls(l.cancel_delivered_at, l.stopping_at) > 0
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT r.updated_at, 'JobCancelRequested', r.id::text, r.correlation_id, %(actor)s::text,
           r.worker_id,
           jsonb_build_object('job_id', r.id, 'worker_id', r.worker_id, 'lease', r.lease)
           || %(said)s::jsonb
    FROM requested r
), told AS (
    SELECT pg_notify('hodei_cancel', w.worker_id::text)
    FROM (SELECT DISTINCT r.worker_id FROM requested r) w
)
SELECT r.id, r.correlation_id, r.worker_id, (SELECT count(*) FROM told) FROM requested r
"""

STATES = """
SELECT j.id, j.state, j.cancel_requested_at IS NOT NULL
FROM jobs j
WHERE j.id = ANY (%(jobs)s::uuid[])
"""


class Now(NamedTuple):
    """A job as it is after the call."""

    state: JobState
    cancel_requested: bool


class Cancelled(NamedTuple):
    """What a call has done."""

    ended: dict[uuid.UUID, str]  # jobs that are CANCELLED by it, with their correlation ids
    requested: dict[uuid.UUID, tuple[str, uuid.UUID]]  # in flight: correlation id and worker
    now: dict[uuid.UUID, Now]  # each job that there is


async def cancel_many(
    conn: Connection, ids: Sequence[uuid.UUID], states: Sequence[JobState], actor: str
) -> Cancelled:
    """Cancels those of the jobs that wait, and requests the cancel of those in flight, in one
    transaction and one round trip. `states`: only jobs that are in one of these; empty: in any."""
    parameters = {
        "jobs": array(ids),
        "states": array(states) if states else None,
        "actor": actor,
        "said": said_by(actor),
    }
    # Queued first: what a claim takes meanwhile is in flight for the next one.
    queued, in_flight, stray, now = await guarded_rows(
        conn,
        (QUEUED, parameters),
        (IN_FLIGHT, parameters),
        (STRAY, parameters),
        (STATES, {"jobs": parameters["jobs"]}),
    )
    return Cancelled(
        dict([*queued, *stray]),
        {job: (correlation, worker) for job, correlation, worker, _ in in_flight},
        {job: Now(state_of(JobState, state), requested) for job, state, requested in now},
    )
