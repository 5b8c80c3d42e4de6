"""Late results: what a worker reports about a lease that no longer holds is kept for the record."""

import uuid
from typing import NamedTuple

from hodei.store.database import Connection
from hodei.store.results import Result
from hodei.store.statements import brief_rows


class Late(NamedTuple):
    """A result whose lease no longer holds."""

    job_id: uuid.UUID
    result: Result


# `attempt` is NULL unless this lease was once this worker's for this job. `restored`: nobody knows it
# any more, as the database was restored to a time before its claim, when the job was there already;
# a worker's word is kept once for a job then, as no row tells whether it is true. `told`: this
# result, in time or late, is already stored (the acknowledgement was lost). The job's updated_at is
# the guard: where another statement wrote to its story meanwhile, nothing is written here.
RECORD_LATE = """
WITH said AS (
    SELECT s.*, j.updated_at AS seen_at, j.correlation_id,
           (SELECT max((a.payload -> 'attempt')::integer)
            FROM domain_events a
            WHERE a.aggregate_id = s.job_id::text
              AND a.event_type = 'JobAssigned'
              AND a.worker_id = s.worker_id
              AND a.payload ->> 'lease' = s.lease::text
              AND jsonb_typeof(a.payload -> 'attempt') = 'number') AS attempt,
           EXISTS (
               SELECT
               FROM hodei_schema h
               WHERE s.lease <@ h.lost_leases
                 AND j.created_at < h.restored_at)
           AND NOT EXISTS (
               SELECT
               FROM domain_events b
               WHERE b.aggregate_id = s.job_id::text
                 AND b.event_type = 'JobLateResult'
                 AND b.actor = 'worker:' || s.worker_id
                 AND b.payload ? 'restored') AS restored,
           EXISTS (
               SELECT
               FROM domain_events e
               WHERE e.aggregate_id = s.job_id::text
                 AND e.payload ->> 'lease' = s.lease::text
                 AND e.actor = 'worker:' || s.worker_id
                 AND (e.event_type = 'JobLateResult'
                      OR e.event_type = 'JobStatusChanged'
                      AND e.payload ->> 'new_state' <> 'RUNNING')) AS told
    FROM (SELECT %(job_id)s::uuid AS job_id,
                 %(lease)s::bigint AS lease,
                 %(worker_id)s::uuid AS worker_id,
                 %(outcome)s::text AS outcome,
                 %(reason)s::text AS reason,
                 %(message)s::text AS message,
                 %(exit_code)s::integer AS exit_code,
                 %(signal)s::integer AS signal) s
    JOIN jobs j ON j.id = s.job_id
), held AS MATERIALIZED (
    SELECT s.*, greatest(clock_timestamp(), j.updated_at + interval '1 microsecond') AS at
    FROM said s
    JOIN jobs j ON j.id = s.job_id AND j.updated_at = s.seen_at
    WHERE (s.attempt IS NOT NULL OR s.restored)
      AND NOT s.told
    ORDER BY j.id
    FOR UPDATE OF j
), moved AS (
    UPDATE jobs j
    SET updated_at = h.at
    FROM held h
    WHERE j.id = h.job_id
      AND j.updated_at = h.seen_at
    RETURNING h.*
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT m.at, 'JobLateResult', m.job_id::text, m.correlation_id, 'worker:' || m.worker_id,
           m.worker_id,
           jsonb_strip_nulls(jsonb_build_object(
               'job_id', m.job_id,
               'worker_id', m.worker_id,
               'lease', m.lease,
               'attempt', m.attempt,
               'restored', CASE WHEN m.attempt IS NULL THEN true END,
               'outcome', m.outcome,
               'reason', m.reason,
               'message', left(m.message, 2000),
               'exit_code', m.exit_code,
               'signal', m.signal))
    FROM moved m
)
SELECT s.attempt IS NULL AND NOT s.restored OR s.told,
       EXISTS (SELECT FROM moved m WHERE m.lease = s.lease),
       s.correlation_id
FROM said s
"""


class Recorded(NamedTuple):
    """What became of a late result."""

    stored: bool  # False: its job's story changed meanwhile; the call is to be repeated
    now: bool = False  # this call wrote it
    correlation_id: str = ""


async def record_late(conn: Connection, late: Late) -> Recorded:
    """Writes a late result down as JobLateResult; no state changes. A result of a job that is gone,
    or of a lease that was never this worker's and cannot have been before a restore, counts as
    recorded: there is nothing to keep it under."""
    result = late.result
    parameters = {
        "job_id": late.job_id,
        "lease": result.lease,
        "worker_id": result.worker_id,
        "outcome": result.outcome,
        "reason": result.reason,
        "message": result.message,
        "exit_code": result.exit_code,
        "signal": result.signal,
    }
    found = await brief_rows(conn, RECORD_LATE, parameters)
    if not found:
        return Recorded(stored=True)
    known, written, correlation_id = found[0]
    return Recorded(known or written, written, correlation_id)
