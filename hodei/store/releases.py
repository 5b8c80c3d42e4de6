"""Releases: offers that no slot accepted go back to the queue."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.store.database import Connection
from hodei.store.leases import Claimant, arrays_of
from hodei.store.statements import guarded_rows

# The job keeps its age in the queue, and no attempt is spent. Where a cancel was requested the job
# becomes CANCELLED instead.
RELEASE = """
WITH said AS (
    SELECT *
    FROM unnest(%(leases)s::bigint[], %(workers)s::uuid[]) AS s (lease, worker_id)
), told AS MATERIALIZED (
    SELECT s.lease, l.job_id, l.enqueued_at, l.expires_at
    FROM said s
    JOIN leases l ON l.lease = s.lease AND l.worker_id IS NOT DISTINCT FROM s.worker_id
    WHERE l.lease = ANY (%(leases)s::bigint[])
), held AS MATERIALIZED (
    SELECT j.id, j.lease, t.enqueued_at, t.expires_at,
           j.cancel_requested_at IS NOT NULL AS cancelled,
           greatest(clock_timestamp(), j.updated_at + interval '1 microsecond') AS released_at
    FROM told t
    JOIN jobs j ON j.id = t.job_id AND j.lease = t.lease
    WHERE j.id = ANY (ARRAY(SELECT t.job_id FROM told t))
      AND j.state = 'PENDING'
    ORDER BY j.id
    FOR UPDATE OF j
), released AS (
    UPDATE jobs j
    SET lease = NULL,
        updated_at = CASE
            WHEN h.cancelled THEN h.released_at + interval '1 microsecond'
            ELSE h.released_at
        END,
        state = CASE WHEN h.cancelled THEN 'CANCELLED' ELSE j.state END,
        reason = CASE WHEN h.cancelled THEN 'CANCELLED' END,
        completed_at = CASE WHEN h.cancelled THEN h.released_at + interval '1 microsecond' END
    FROM held h
    WHERE j.id = h.id
      AND j.id = ANY (ARRAY(SELECT h.id FROM held h))
      AND j.lease = h.lease
      AND j.state = 'PENDING'
    RETURNING j.id, j.priority, j.spec, j.queue_timeout_ms, j.worker_id, j.correlation_id,
              j.project, j.cancel_actor, h.lease, h.enqueued_at, h.expires_at, h.cancelled, h.released_at
), unleased AS (
    DELETE FROM leases l
    WHERE l.lease = ANY (ARRAY(SELECT r.lease FROM released r))
), requeued AS (
    INSERT INTO job_queue (job_id, priority, enqueued_at, labels, expires_at, project)
    SELECT r.id, r.priority, r.enqueued_at, coalesce(r.spec -> 'labels', '{}'),
           coalesce(
               r.expires_at, r.released_at + r.queue_timeout_ms * interval '1 millisecond'),
           r.project
    FROM released r
    WHERE NOT r.cancelled
    RETURNING job_id
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT r.released_at, 'JobUnassigned', r.id::text, r.correlation_id, %(actor)s, r.worker_id,
           jsonb_build_object(
               'job_id', r.id,
               'worker_id', r.worker_id,
               'lease', r.lease,
               'reason', %(reason)s::text)
    FROM released r
    UNION ALL
    SELECT r.released_at + interval '1 microsecond', 'JobStatusChanged', r.id::text,
           r.correlation_id, r.cancel_actor, r.worker_id,
           jsonb_build_object(
               'job_id', r.id,
               'worker_id', r.worker_id,
               'old_state', 'PENDING',
               'new_state', 'CANCELLED',
               'lease', r.lease,
               'reason', 'CANCELLED')
    FROM released r
    WHERE r.cancelled
), wake AS (
    SELECT pg_notify('hodei_work', '')
    FROM requeued
    LIMIT 1
)
SELECT r.lease, r.worker_id, r.id, r.correlation_id,
       CASE WHEN r.cancelled THEN r.cancel_actor END,
       (SELECT count(*) FROM wake)
FROM released r
"""


class Released(NamedTuple):
    """A lease whose offer was given back."""

    lease: int
    worker_id: uuid.UUID
    job_id: uuid.UUID
    correlation_id: str
    cancelled_by: str | None  # a cancel was requested before: by whom; the job is CANCELLED now


async def release(
    conn: Connection, claimants: Sequence[Claimant], reason: str, actor: str
) -> list[Released]:
    """Gives offers back that were not accepted. One that was accepted meanwhile stays, and is
    missing from the answer."""
    parameters = arrays_of(claimants) | {"reason": reason, "actor": actor}
    (found,) = await guarded_rows(conn, (RELEASE, parameters))
    return [Released(*row[:5]) for row in found]
