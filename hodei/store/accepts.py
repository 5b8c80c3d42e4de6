"""Accepts: a slot of a worker took an offered job, PENDING → RUNNING.

ACCEPT, RESULT (results.py) and RELEASE (releases.py) have the same beginning. `said` is what was
said of leases, in arrays; `told` is the part of it that concerns a lease of the worker who said it;
`held` are the jobs of those leases, locked in the order of their ids, where jobs.lease is still
that lease. A lease that is missing from the answer is stale: its worker must be told so (Refused).
"""

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from hodei.domain.timing import GRACE_S, LIMIT_MARGIN_S
from hodei.store.database import Connection
from hodei.store.leases import Claimant, arrays_of
from hodei.store.statements import Call, guarded_rows

ACCEPT = """
WITH said AS (
    SELECT *
    FROM unnest(%(leases)s::bigint[], %(workers)s::uuid[]) AS s (lease, worker_id)
), told AS MATERIALIZED (
    SELECT s.lease, s.worker_id, l.job_id
    FROM said s
    JOIN leases l ON l.lease = s.lease AND l.worker_id IS NOT DISTINCT FROM s.worker_id
    WHERE l.lease = ANY (%(leases)s::bigint[])
), held AS MATERIALIZED (
    SELECT j.id, j.lease, t.worker_id, j.correlation_id,
           greatest(clock_timestamp(), j.updated_at + interval '1 microsecond') AS accepted_at
    FROM told t
    JOIN jobs j ON j.id = t.job_id AND j.lease = t.lease
    WHERE j.id = ANY (ARRAY(SELECT t.job_id FROM told t))
    ORDER BY j.id
    FOR UPDATE OF j
), started AS (
    UPDATE jobs j
    SET state = 'RUNNING',
        attempts = j.attempts + 1,
        started_at = h.accepted_at,
        updated_at = h.accepted_at
    FROM held h
    WHERE j.id = h.id
      AND j.id = ANY (ARRAY(SELECT h.id FROM held h))
      AND j.lease = h.lease
      AND j.state = 'PENDING'
    RETURNING j.id, j.lease, j.worker_id, j.correlation_id, j.attempts, j.updated_at,
              j.timeout_ms, j.start_timeout_ms, j.grace_ms
), accepted AS (
    UPDATE leases l
    SET accepted_at = s.updated_at,
        end_by = s.updated_at
            + make_interval(secs => %(margin_s)s)
            + (s.timeout_ms
               + coalesce(s.start_timeout_ms, 0)
               + coalesce(s.grace_ms, %(grace_ms)s::bigint)) * interval '1 millisecond',
        start_by = s.updated_at
            + make_interval(secs => %(margin_s)s)
            + s.start_timeout_ms * interval '1 millisecond'
    FROM started s
    WHERE l.lease = s.lease
      AND l.lease = ANY (ARRAY(SELECT s.lease FROM started s))
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT s.updated_at, 'JobStatusChanged', s.id::text, s.correlation_id,
           'worker:' || s.worker_id, s.worker_id,
           jsonb_build_object(
               'job_id', s.id,
               'worker_id', s.worker_id,
               'old_state', 'PENDING',
               'new_state', 'RUNNING',
               'success', true,
               'lease', s.lease,
               'attempt', s.attempts)
    FROM started s
)
SELECT h.lease, h.worker_id, h.id, h.correlation_id, s.id IS NOT NULL
FROM held h
LEFT JOIN started s ON s.id = h.id
"""


LIMITS = {"margin_s": LIMIT_MARGIN_S, "grace_ms": int(GRACE_S * 1000)}
"""What a lease's end_by and start_by are reckoned with beside the columns of its job."""


class Accepted(NamedTuple):
    """A lease that holds and is accepted."""

    lease: int
    worker_id: uuid.UUID
    job_id: uuid.UUID
    correlation_id: str
    now: bool = True  # False: it was RUNNING already, and nothing changed


def accepting(claimants: Sequence[Claimant]) -> Call:
    """The accepts as a call; `accepted` reads its answer."""
    return ACCEPT, arrays_of(claimants) | LIMITS


def accepted(found: Sequence[tuple[Any, ...]]) -> dict[Claimant, Accepted]:
    return {Claimant(row[0], row[1]): Accepted(*row) for row in found}


async def accept(conn: Connection, claimants: Sequence[Claimant]) -> dict[Claimant, Accepted]:
    """Writes accepts down, and returns those whose lease holds. An accept that is said again is
    returned again and changes nothing."""
    return accepted((await guarded_rows(conn, accepting(claimants)))[0])
