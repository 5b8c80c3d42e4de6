"""Ends jobs that PostgreSQL will not let go on: FAILED, with the reason REJECTED."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.job import JobState
from hodei.domain.state_words import state_of
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import guarded_rows

# The job may be queued, offered or running: something keeps its row from being written as it should
# be. A time that was set far ahead is brought back.
SET_ASIDE = """
WITH unqueued AS (
    DELETE FROM job_queue q
    WHERE q.job_id = ANY (%(jobs)s::uuid[])
    RETURNING q.job_id
), held AS MATERIALIZED (
    SELECT j.id, j.state, j.lease, j.worker_id, j.correlation_id,
           CASE WHEN j.updated_at < clock_timestamp() + interval '1 year'
                THEN greatest(clock_timestamp(), j.updated_at + interval '1 microsecond')
                ELSE clock_timestamp() END AS at
    FROM jobs j
    WHERE j.id = ANY (%(jobs)s::uuid[])
      AND j.completed_at IS NULL
      AND (SELECT count(*) FROM unqueued) >= 0
    ORDER BY j.id
    FOR UPDATE OF j
), ended AS (
    UPDATE jobs j
    SET state = 'FAILED',
        reason = 'REJECTED',
        message = left(%(message)s, 2000),
        lease = NULL,
        updated_at = h.at,
        completed_at = h.at
    FROM held h
    WHERE j.id = h.id
    RETURNING j.id
), unleased AS (
    DELETE FROM leases l WHERE l.job_id = ANY (%(jobs)s::uuid[])
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT h.at, 'JobStatusChanged', h.id::text, h.correlation_id, %(actor)s, h.worker_id,
           jsonb_strip_nulls(jsonb_build_object(
               'job_id', h.id,
               'worker_id', h.worker_id,
               'lease', h.lease,
               'old_state', left(h.state, 20),
               'new_state', 'FAILED',
               'reason', 'REJECTED',
               'message', left(%(message)s, 2000)))
    FROM held h JOIN ended e ON e.id = h.id
)
SELECT h.id, left(h.state, 20), left(h.correlation_id, 200) FROM held h JOIN ended e ON e.id = h.id
"""


# SET_ASIDE does not see the row that came while it waited for the job's: a lease of a claim, or a
# queue row of a retry. This statement begins when it has the lock.
CLEAR = """
WITH ended AS (
    SELECT j.id FROM jobs j WHERE j.id = ANY (%(jobs)s::uuid[]) AND j.completed_at IS NOT NULL
), unqueued AS (
    DELETE FROM job_queue q USING ended e WHERE q.job_id = e.id
)
DELETE FROM leases l USING ended e WHERE l.job_id = e.id RETURNING l.lease
"""


class SetAside(NamedTuple):
    """A job that has ended so."""

    job_id: uuid.UUID
    old_state: JobState
    correlation_id: str


async def set_aside(
    conn: Connection, jobs: Sequence[uuid.UUID], message: str, actor: str
) -> list[SetAside]:
    """Ends jobs, and returns those that had not ended yet."""
    parameters = {"jobs": array(jobs), "message": message, "actor": actor}
    clear = (CLEAR, {"jobs": array(jobs)})
    found, _ = await guarded_rows(conn, (SET_ASIDE, parameters), clear)
    return [
        SetAside(job, state_of(JobState, word), correlation) for job, word, correlation in found
    ]
