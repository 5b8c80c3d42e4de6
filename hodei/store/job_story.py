"""A job's story, read from its events: the timeline and the attempts."""

import re
import uuid
from dataclasses import dataclass
from typing import NamedTuple

from hodei.store.database import Connection
from hodei.store.statements import rows


class Event(NamedTuple):
    """A row of domain_events as the API shows it."""

    occurred_at: int  # microseconds since 1970
    event_type: str
    aggregate_id: str
    actor: str
    correlation_id: str
    payload: str
    worker_id: uuid.UUID | None
    worker_name: str | None


class Timeline(NamedTuple):
    """A job's events, oldest first."""

    events: list[Event]
    left_out: int  # older events that did not fit


# The last events, as many as both bounds allow: on-call engineers ask how the job came to be as it
# is. A payload that somebody made larger than any of ours is replaced by its size.
TIMELINE = """
SELECT s.occurred_at, s.event_type, s.aggregate_id, s.actor, s.correlation_id, s.payload,
       s.worker_id, left(w.name, 200),
       (SELECT count(*) FROM domain_events e WHERE e.aggregate_id = %(job)s) AS in_all
FROM (
    SELECT t.*, sum(octet_length(t.payload) + 1000) OVER (ORDER BY t.nth) AS bytes
    FROM (
        SELECT e.occurred_at,
               left(e.event_type, 200) AS event_type,
               left(e.aggregate_id, 200) AS aggregate_id,
               left(e.actor, 500) AS actor,
               left(e.correlation_id, 200) AS correlation_id,
               e.worker_id,
               CASE
                   WHEN octet_length(e.payload::text) <= 65536 THEN e.payload::text
                   ELSE jsonb_build_object('left_out_bytes', octet_length(e.payload::text))::text
               END AS payload,
               row_number() OVER (ORDER BY e.occurred_at DESC, e.id DESC) AS nth
        FROM (
            SELECT e.id, e.occurred_at, e.event_type, e.aggregate_id, e.actor, e.correlation_id,
                   e.worker_id, e.payload
            FROM domain_events e
            WHERE e.aggregate_id = %(job)s
            ORDER BY e.occurred_at DESC, e.id DESC
            LIMIT 1000
        ) e
    ) t
) s
LEFT JOIN workers w ON w.id = s.worker_id
WHERE s.bytes <= 2000000
ORDER BY s.nth DESC
"""


async def timeline(conn: Connection, job_id: uuid.UUID) -> Timeline:
    """Returns a job's last events: 1,000 at most, within 2 MB."""
    found = await rows(conn, TIMELINE, {"job": str(job_id)})
    left_out = found[0][-1] - len(found) if found else 0
    return Timeline([Event(*row[:-1]) for row in found], left_out)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One accepted claim of a job, rebuilt from its events. `outcome` and `reason` are text of
    those events, and `outcome` is None while it runs."""

    attempt: int
    lease: int
    worker_id: uuid.UUID | None
    worker_name: str | None
    started_at: int  # microseconds since 1970
    ended_at: int | None
    outcome: str | None
    reason: str | None
    exit_code: int | None
    signal: int | None
    log_bytes: int


class Attempts(NamedTuple):
    """A job's attempts, oldest first."""

    attempts: list[Attempt]
    more: bool  # there are older ones


# The end of an attempt is the next change out of RUNNING with its lease. A new state of PENDING
# then means that the attempt failed or was lost, and the job runs again. Values in the payloads are
# read as text: a number that a hand has spoilt costs one field, not the answer. Each part is read
# once, and they are joined by their lease: of a thousand attempts each would else look through all
# ends and all chunks.
ATTEMPTS = """
WITH begun AS MATERIALIZED (
    SELECT s.payload ->> 'attempt' AS attempt,
           s.payload ->> 'lease' AS lease,
           s.worker_id,
           s.occurred_at
    FROM domain_events s
    WHERE s.aggregate_id = %(job)s::uuid::text
      AND s.event_type = 'JobStatusChanged'
      AND s.payload ->> 'new_state' = 'RUNNING'
    ORDER BY s.occurred_at DESC
    LIMIT 1001
), ended AS MATERIALIZED (
    SELECT e.payload ->> 'lease' AS lease,
           e.occurred_at,
           left(e.payload ->> 'new_state', 50) AS new_state,
           left(e.payload ->> 'reason', 200) AS reason,
           e.payload ->> 'exit_code' AS exit_code,
           e.payload ->> 'signal' AS signal
    FROM domain_events e
    WHERE e.aggregate_id = %(job)s::uuid::text
      AND e.event_type = 'JobStatusChanged'
      AND e.payload ->> 'old_state' = 'RUNNING'
), written AS MATERIALIZED (
    SELECT g.lease::text AS lease, sum(octet_length(g.data))::bigint AS bytes
    FROM job_logs g
    WHERE g.job_id = %(job)s::uuid
      AND g.stream < 3
    GROUP BY g.lease
)
SELECT b.attempt, b.lease, b.worker_id, left(k.name, 200), b.occurred_at, e.occurred_at,
       CASE
           WHEN e.new_state <> 'PENDING' THEN e.new_state
           WHEN e.reason = 'WORKER_LOST' THEN 'LOST'
           WHEN e.lease IS NOT NULL THEN 'FAILED'
       END,
       e.reason, left(e.exit_code, 20), left(e.signal, 20), coalesce(w.bytes, 0)
FROM begun b
LEFT JOIN ended e ON e.lease = b.lease
LEFT JOIN written w ON w.lease = b.lease
LEFT JOIN workers k ON k.id = b.worker_id
ORDER BY b.occurred_at DESC
"""


async def attempts(conn: Connection, job_id: uuid.UUID) -> Attempts:
    """Returns a job's last attempts, 1,000 at most."""
    found = await rows(conn, ATTEMPTS, {"job": job_id})
    return Attempts([_attempt(*row) for row in found[999::-1]], len(found) > 1000)


def _attempt(
    attempt: str | None,
    lease: str | None,
    worker_id: uuid.UUID | None,
    worker_name: str | None,
    started_at: int,
    ended_at: int | None,
    outcome: str | None,
    reason: str | None,
    exit_code: str | None,
    signal: str | None,
    log_bytes: int,
) -> Attempt:
    return Attempt(
        _number(attempt) or 0,
        _number(lease) or 0,
        worker_id,
        worker_name,
        started_at,
        ended_at,
        outcome,
        reason,
        _number(exit_code),
        _number(signal),
        log_bytes,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,18}", text) else None
