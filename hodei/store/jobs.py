"""Jobs as people and programs ask for them: create, get, list, cancel, timeline."""

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, NamedTuple

from hodei.store import job_queue
from hodei.store.database import Call, Connection, brief_rows, guarded_rows, rows
from hodei.store.job_queue import Claimed, Wish


class NewJob(NamedTuple):
    id: uuid.UUID
    actor: str
    spec: dict[str, Any]  # normalised


# The argument depends on the setting, so that it is made first: an id that somebody else's open
# transaction creates is not waited for.
CREATE = """
SELECT c.job_id, c.outcome
FROM set_config('lock_timeout', '100ms', true) AS s (set)
CROSS JOIN LATERAL hodei_create_jobs(CASE WHEN s.set <> '' THEN %(records)s::jsonb END) c
"""


def _creating(new: Sequence[NewJob]) -> Call:
    records = [{"id": str(job.id), "actor": job.actor, "spec": job.spec} for job in new]
    return CREATE, {"records": json.dumps(records, ensure_ascii=False)}


async def create(conn: Connection, new: Sequence[NewJob]) -> dict[uuid.UUID, str]:
    """Outcome for each id: created, existed (same spec) or conflict (another spec; nothing of it
    stored)."""
    return dict(await rows(conn, *_creating(new)))


async def create_and_claim(
    conn: Connection, new: Sequence[NewJob], wish: Wish, accept_within_s: float
) -> tuple[dict[uuid.UUID, str], Claimed]:
    """Both in one transaction and one round trip. What is claimed need not be what is created: the
    best that waits goes first."""
    outcomes, found = await guarded_rows(
        conn, _creating(new), job_queue.claiming(wish, accept_within_s)
    )
    return dict(outcomes), job_queue.claimed(found)


EXISTS = "SELECT FROM jobs j WHERE j.id = %(job)s"


async def exists(conn: Connection, job_id: uuid.UUID) -> bool:
    return bool(await rows(conn, EXISTS, {"job": job_id}))


RETRIED_FROM = "UPDATE jobs SET retry_of = %(old)s WHERE id = %(new)s AND retry_of IS NULL"


async def name_origin(conn: Connection, new: uuid.UUID, old: uuid.UUID) -> None:
    """Says of a job just created, in the same transaction, which one it repeats."""
    await conn.execute(RETRIED_FROM, {"new": new, "old": old})


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs` as the API shows it, in the order of JOB_COLUMNS. Times are microseconds
    since 1970 (store/times.py), None where they have not come yet."""

    id: uuid.UUID
    name: str
    state: str
    reason: str | None
    message: str | None
    spec: str
    attempts: int
    priority: int
    correlation_id: str
    actor: str
    worker_id: uuid.UUID | None
    exit_code: int | None
    signal: int | None
    peak_memory_bytes: int | None
    cpu_us: int | None
    log_bytes: int
    log_dropped_bytes: int
    logs_complete: bool | None
    leftover_processes: int | None
    leftover_unknown: int | None
    created_at: int
    updated_at: int
    started_at: int | None
    completed_at: int | None
    run_at: int | None
    cancel_requested: bool
    retry_of: uuid.UUID | None
    queued: bool
    waiting: str | None
    ready_at: int | None
    required: dict[str, str] | None
    accept_by: int | None
    cancel: str  # '', then requested, delivered (its worker knows), stopping (TERM is on its way)


# The queue row and the offer tell why a PENDING job waits (flow/waiting.py puts it into words).
# Text that a hand has made longer than any door lets it be is cut.
JOB_COLUMNS: LiteralString = """
    j.attempts, j.priority, left(j.correlation_id, 200), left(j.actor, 500), j.worker_id,
    j.exit_code, j.signal, j.peak_memory_bytes, j.cpu_us, j.log_bytes, j.log_dropped_bytes,
    j.logs_complete, j.leftover_processes, j.leftover_unknown, j.created_at, j.updated_at,
    j.started_at, j.completed_at, j.run_at, j.cancel_requested_at IS NOT NULL, j.retry_of,
    q.job_id IS NOT NULL, q.waiting, q.ready_at, q.labels,
    CASE WHEN l.accepted_at IS NULL THEN l.accept_by END,
    CASE WHEN j.completed_at IS NOT NULL OR j.cancel_requested_at IS NULL THEN ''
         WHEN l.stopping_at IS NOT NULL THEN 'stopping'
         WHEN l.cancel_delivered_at IS NOT NULL THEN 'delivered'
         ELSE 'requested' END
FROM jobs j
LEFT JOIN job_queue q ON q.job_id = j.id
LEFT JOIN leases l ON l.job_id = j.id
"""

NAMED: LiteralString = "SELECT j.id, j.name, j.state, j.reason, left(j.message, 2000), "

GET = NAMED + "j.spec::text, " + JOB_COLUMNS + "WHERE j.id = %(job)s::uuid"


async def get(conn: Connection, job_id: uuid.UUID) -> Job | None:
    found = await rows(conn, GET, {"job": job_id})
    return Job(*found[0]) if found else None


# Newest first, by keyset: a page costs the same however far back it lies. Specs are not read: each
# may lie in a quarter of a megabyte of its own.
LIST_TAIL: LiteralString = """
WHERE (%(state)s::text IS NULL OR j.state = %(state)s::text)
  AND (%(reason)s::text IS NULL OR j.reason = %(reason)s::text)
  AND (%(correlation)s::text IS NULL OR j.correlation_id = %(correlation)s::text)
  AND (%(before)s::uuid IS NULL OR (j.created_at, j.id) < (SELECT b.created_at, b.id FROM jobs b WHERE b.id = %(before)s::uuid))
ORDER BY j.created_at DESC, j.id DESC
LIMIT %(limit)s::bigint
"""
LIST = NAMED + "'{}', " + JOB_COLUMNS + LIST_TAIL


async def list_newest(
    conn: Connection,
    state: str | None,
    reason: str | None,
    correlation: str | None,
    before: uuid.UUID | None,
    limit: int,
) -> list[Job]:
    parameters = {
        "state": state,
        "reason": reason,
        "correlation": correlation,
        "before": before,
        "limit": limit,
    }
    return [Job(*row) for row in await rows(conn, LIST, parameters)]


# The queue row is the guard: whoever deletes it decides, this cancel or a claim.
CANCEL_QUEUED = """
WITH unqueued AS (
    DELETE FROM job_queue q WHERE q.job_id = %(job)s RETURNING q.job_id
), cancelled AS (
    UPDATE jobs j
    SET state = 'CANCELLED', reason = 'CANCELLED', message = %(message)s, cancel_actor = %(actor)s,
        (updated_at, completed_at, cancel_requested_at) = (SELECT t.at, t.at, t.at
            FROM (SELECT greatest(clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
    FROM unqueued u
    WHERE j.id = u.job_id AND j.state = 'PENDING' AND j.lease IS NULL
    RETURNING j.id, j.correlation_id, j.updated_at
)
INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
SELECT c.updated_at, 'JobStatusChanged', c.id::text, c.correlation_id, %(actor)s,
       jsonb_build_object('job_id', c.id, 'old_state', 'PENDING', 'new_state', 'CANCELLED', 'reason', 'CANCELLED')
FROM cancelled c
RETURNING correlation_id
"""

CANCEL_IN_FLIGHT = """
WITH requested AS (
    UPDATE jobs j
    SET cancel_actor = %(actor)s,
        (updated_at, cancel_requested_at) = (SELECT t.at, t.at
            FROM (SELECT greatest(clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
    WHERE j.id = %(job)s AND j.lease IS NOT NULL AND j.cancel_requested_at IS NULL
    RETURNING j.id, j.correlation_id, j.lease, j.worker_id, j.updated_at
), story AS (
    INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT r.updated_at, 'JobCancelRequested', r.id::text, r.correlation_id, %(actor)s, r.worker_id,
           jsonb_build_object('job_id', r.id, 'worker_id', r.worker_id, 'lease', r.lease)
    FROM requested r
)
SELECT r.correlation_id, r.worker_id, pg_notify('hodei_cancel', r.worker_id::text)
FROM requested r
"""


# A job that waits without a queue row (somebody's hand took it) is cancelled at once too.
CANCEL_STRAY = """
WITH cancelled AS (
    UPDATE jobs j
    SET state = 'CANCELLED', reason = 'CANCELLED', message = %(message)s, cancel_actor = %(actor)s,
        (updated_at, completed_at, cancel_requested_at) = (SELECT t.at, t.at, t.at
            FROM (SELECT greatest(clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
    WHERE j.id = %(job)s::uuid AND j.state = 'PENDING' AND j.lease IS NULL
      AND NOT EXISTS (SELECT FROM job_queue q WHERE q.job_id = j.id)
    RETURNING j.id, j.correlation_id, j.updated_at
)
INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
SELECT c.updated_at, 'JobStatusChanged', c.id::text, c.correlation_id, %(actor)s,
       jsonb_build_object('job_id', c.id, 'old_state', 'PENDING', 'new_state', 'CANCELLED', 'reason', 'CANCELLED')
FROM cancelled c
RETURNING correlation_id
"""


async def cancel_queued(conn: Connection, job_id: uuid.UUID, actor: str) -> str | None:
    """Its correlation id: it waited, and is CANCELLED now."""
    return await _cancelled(conn, CANCEL_QUEUED, job_id, actor)


async def cancel_stray(conn: Connection, job_id: uuid.UUID, actor: str) -> str | None:
    """Its correlation id: it waited in no queue, and is CANCELLED now."""
    return await _cancelled(conn, CANCEL_STRAY, job_id, actor)


async def _cancelled(
    conn: Connection, statement: LiteralString, job_id: uuid.UUID, actor: str
) -> str | None:
    parameters = {"job": job_id, "actor": actor, "message": f"cancelled by {actor}"}
    found = await brief_rows(conn, statement, parameters)
    return found[0][0] if found else None


class Requested(NamedTuple):
    correlation_id: str
    worker_id: uuid.UUID


async def request_cancel(conn: Connection, job_id: uuid.UUID, actor: str) -> Requested | None:
    """It is in flight, and the server that holds its worker's stream has been told. None: not
    so."""
    found = await brief_rows(conn, CANCEL_IN_FLIGHT, {"job": job_id, "actor": actor})
    return Requested(*found[0][:2]) if found else None


class Event(NamedTuple):
    occurred_at: int  # microseconds since 1970
    event_type: str
    aggregate_id: str
    actor: str
    correlation_id: str
    payload: str


# The last events, as many as both bounds allow: what on-call asks is how it came to be as it is. A
# payload that somebody made larger than any of ours is named by its size.
TIMELINE = """
SELECT s.occurred_at, s.event_type, s.aggregate_id, s.actor, s.correlation_id, s.payload,
       (SELECT count(*) FROM domain_events e WHERE e.aggregate_id = %(job)s) AS in_all
FROM (
    SELECT t.*, sum(octet_length(t.payload) + 1000) OVER (ORDER BY t.nth) AS bytes
    FROM (
        SELECT e.occurred_at, left(e.event_type, 200) AS event_type, left(e.aggregate_id, 200) AS aggregate_id,
               left(e.actor, 500) AS actor, left(e.correlation_id, 200) AS correlation_id,
               CASE WHEN octet_length(e.payload::text) <= 65536 THEN e.payload::text
                    ELSE jsonb_build_object('left_out_bytes', octet_length(e.payload::text))::text END AS payload,
               row_number() OVER (ORDER BY e.occurred_at DESC, e.id DESC) AS nth
        FROM (
            SELECT e.id, e.occurred_at, e.event_type, e.aggregate_id, e.actor, e.correlation_id, e.payload
            FROM domain_events e
            WHERE e.aggregate_id = %(job)s
            ORDER BY e.occurred_at DESC, e.id DESC
            LIMIT 1000
        ) e
    ) t
) s
WHERE s.bytes <= 2000000
ORDER BY s.nth DESC
"""


async def timeline(conn: Connection, job_id: uuid.UUID) -> tuple[list[Event], int]:
    """A job's own events, oldest first: the last 1,000 within 2 MB; and how many older ones are
    left out."""
    found = await rows(conn, TIMELINE, {"job": str(job_id)})
    return [Event(*row[:6]) for row in found], found[0][6] - len(found) if found else 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One accepted claim of a job, rebuilt from its events; `outcome` is None while it runs."""

    attempt: int
    lease: int
    worker_id: uuid.UUID | None
    started_at: int  # microseconds since 1970
    ended_at: int | None
    outcome: str | None
    reason: str | None
    exit_code: int | None
    signal: int | None
    log_bytes: int


# The end of an attempt is the next change out of RUNNING with its lease; PENDING then means: failed
# or lost, and run again. What the payloads hold is read as text: a number that a hand has spoilt
# costs one field, not the answer. Each part is read once and they are joined by their lease: of a
# thousand attempts each would else look through all ends and all chunks.
ATTEMPTS = """
WITH begun AS MATERIALIZED (
    SELECT s.payload ->> 'attempt' AS attempt, s.payload ->> 'lease' AS lease, s.worker_id, s.occurred_at
    FROM domain_events s
    WHERE s.aggregate_id = %(job)s::uuid::text
      AND s.event_type = 'JobStatusChanged'
      AND s.payload ->> 'new_state' = 'RUNNING'
    ORDER BY s.occurred_at DESC
    LIMIT 1001
), ended AS MATERIALIZED (
    SELECT e.payload ->> 'lease' AS lease, e.occurred_at, left(e.payload ->> 'new_state', 50) AS new_state,
           left(e.payload ->> 'reason', 200) AS reason, e.payload ->> 'exit_code' AS exit_code, e.payload ->> 'signal' AS signal
    FROM domain_events e
    WHERE e.aggregate_id = %(job)s::uuid::text
      AND e.event_type = 'JobStatusChanged'
      AND e.payload ->> 'old_state' = 'RUNNING'
), written AS MATERIALIZED (
    SELECT g.lease::text AS lease, sum(octet_length(g.data))::bigint AS bytes
    FROM job_logs g
    WHERE g.job_id = %(job)s::uuid AND g.stream < 3
    GROUP BY g.lease
)
SELECT b.attempt, b.lease, b.worker_id, b.occurred_at, e.occurred_at,
       CASE WHEN e.new_state <> 'PENDING' THEN e.new_state
            WHEN e.reason = 'WORKER_LOST' THEN 'LOST'
            WHEN e.lease IS NOT NULL THEN 'FAILED' END,
       e.reason, left(e.exit_code, 20), left(e.signal, 20), coalesce(w.bytes, 0)
FROM begun b
LEFT JOIN ended e ON e.lease = b.lease
LEFT JOIN written w ON w.lease = b.lease
ORDER BY b.occurred_at DESC
"""


async def attempts(conn: Connection, job_id: uuid.UUID) -> tuple[list[Attempt], bool]:
    """The last 1,000 attempts, oldest first; and whether there are older ones."""
    found = await rows(conn, ATTEMPTS, {"job": job_id})
    return [_attempt(*row) for row in found[999::-1]], len(found) > 1000


def _attempt(
    attempt: str | None,
    lease: str | None,
    worker_id: uuid.UUID | None,
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


# Final states are counted up to 1,000,000 by their newest: an exact count of an archive is nobody's
# wish at three in the morning.
COUNT = """
SELECT state, count(*) FROM (SELECT j.state FROM jobs j ORDER BY j.created_at DESC LIMIT 1000000) newest GROUP BY state
"""


async def count(conn: Connection) -> dict[str, int]:
    return dict(await rows(conn, COUNT))


QUEUE_DEPTH = """
SELECT count(*), count(*) FILTER (WHERE waiting IS NULL),
       coalesce(extract(epoch FROM clock_timestamp() - min(enqueued_at) FILTER (WHERE waiting IS NULL)), 0)::float8
FROM job_queue
"""


async def queue_depth(conn: Connection) -> tuple[int, int, float]:
    """Rows of the queue, ready ones, and the age of the oldest ready one in seconds."""
    row = (await rows(conn, QUEUE_DEPTH))[0]
    return row[0], row[1], row[2]
