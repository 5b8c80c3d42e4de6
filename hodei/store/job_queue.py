"""The queue: who waits, and the claim that takes from it."""

import uuid
from typing import NamedTuple

from psycopg.types.json import Jsonb

from hodei.store.database import Connection, array, guarded_rows, rows


class Offer(NamedTuple):
    """A claimed job, bound to a worker by its lease; PENDING until that worker accepts."""

    lease: int
    job_id: uuid.UUID
    worker_id: uuid.UUID
    attempt: int
    correlation_id: str
    actor: str
    spec: str  # JSON, as stored


# Lock, then delete and update, in CTEs: a LIMIT in a sub-select may be run again by a nested loop and take more rows than it says.
# One worker id for each free slot, in the order in which slots are to be filled.
CLAIM = """
WITH ready AS MATERIALIZED (
    SELECT q.job_id, q.enqueued_at, q.priority
    FROM job_queue q
    WHERE q.waiting IS NULL AND q.labels <@ %(labels)s
    ORDER BY q.priority DESC, q.enqueued_at, q.job_id
    LIMIT cardinality(%(workers)s::uuid[])
    FOR UPDATE SKIP LOCKED
), numbered AS (
    SELECT r.job_id, r.enqueued_at, (row_number() OVER (ORDER BY r.priority DESC, r.enqueued_at, r.job_id))::integer AS n
    FROM ready r
), unqueued AS (
    DELETE FROM job_queue q WHERE q.job_id = ANY (ARRAY(SELECT r.job_id FROM ready r))
), leased AS (
    UPDATE jobs j
    SET lease = nextval('hodei_lease_seq'),
        worker_id = (%(workers)s::uuid[])[n.n],
        updated_at = greatest(clock_timestamp(), j.updated_at + interval '1 microsecond')
    FROM numbered n
    WHERE j.id = n.job_id AND j.id = ANY (ARRAY(SELECT r.job_id FROM ready r)) AND j.state = 'PENDING' AND j.lease IS NULL
    RETURNING j.id, j.lease, j.worker_id, j.attempts + 1 AS attempt, j.correlation_id, j.actor, j.spec, j.updated_at, n.enqueued_at, n.n
), offers AS (
    INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, offered_at, accept_by, silence_s)
    SELECT l.lease, l.id, l.worker_id, l.attempt, l.enqueued_at, l.updated_at,
           clock_timestamp() + make_interval(secs => %(accept_within_s)s), (l.spec ->> 'silence_timeout')::float8
    FROM leased l
), story AS (
    INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT l.updated_at, 'JobAssigned', l.id::text, l.correlation_id, 'system:job_dispatcher', l.worker_id,
           jsonb_build_object('job_id', l.id, 'worker_id', l.worker_id, 'lease', l.lease, 'attempt', l.attempt)
    FROM leased l
)
SELECT l.lease, l.id, l.worker_id, l.attempt, l.correlation_id, l.actor, l.spec::text
FROM leased l
ORDER BY l.n
"""


async def claim(conn: Connection, workers: list[uuid.UUID], labels: dict[str, str], accept_within_s: float) -> list[Offer]:
    """Takes up to len(workers) ready jobs whose labels are among `labels`, highest priority first, then oldest."""
    parameters = {"workers": array(workers), "labels": Jsonb(labels), "accept_within_s": accept_within_s}
    (found,) = await guarded_rows(conn, (CLAIM, parameters))
    return [Offer(*row) for row in found]


# What is due becomes ready, its age counted from then. At most 1,000 at a time; the next sweep takes the rest.
PROMOTE = """
WITH due AS MATERIALIZED (
    SELECT q.job_id FROM job_queue q
    WHERE q.waiting IS NOT NULL AND q.ready_at <= clock_timestamp()
    ORDER BY q.ready_at
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
), promoted AS (
    UPDATE job_queue q
    SET waiting = NULL, enqueued_at = q.ready_at, ready_at = NULL
    FROM due d
    WHERE q.job_id = d.job_id
    RETURNING q.job_id
)
SELECT count(*), CASE WHEN count(*) > 0 THEN pg_notify('hodei_work', '')::text END FROM promoted
"""


async def promote(conn: Connection) -> int:
    count: int = (await rows(conn, PROMOTE))[0][0]
    return count


# Jobs that waited in the queue longer than their spec allows. The queue row is the guard, as for a cancel.
EXPIRE = """
WITH due AS MATERIALIZED (
    SELECT q.job_id FROM job_queue q
    WHERE q.expires_at <= clock_timestamp()
    ORDER BY q.expires_at
    LIMIT 500
    FOR UPDATE SKIP LOCKED
), unqueued AS (
    DELETE FROM job_queue q USING due d WHERE q.job_id = d.job_id RETURNING q.job_id
), expired AS (
    UPDATE jobs j
    SET state = 'FAILED', reason = 'TIMEOUT', message = 'waited in the queue longer than ' || (j.spec ->> 'queue_timeout') || ' s',
        (updated_at, completed_at) = (SELECT t.at, t.at
            FROM (SELECT greatest(clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
    FROM unqueued u
    WHERE j.id = u.job_id AND j.state = 'PENDING' AND j.lease IS NULL
    RETURNING j.id, j.correlation_id, j.updated_at, j.message
), story AS (
    INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT e.updated_at, 'JobStatusChanged', e.id::text, e.correlation_id, 'system:job_rescuer',
           jsonb_build_object('job_id', e.id, 'old_state', 'PENDING', 'new_state', 'FAILED', 'reason', 'TIMEOUT', 'message', e.message)
    FROM expired e
)
SELECT e.id FROM expired e
"""


async def expire(conn: Connection) -> list[uuid.UUID]:
    return [row[0] for row in await rows(conn, EXPIRE)]


# Each job passes through both tables and leaves a dead row in each. Autovacuum looks once a minute: by then a claim would wade through
# tens of thousands. Two statements of a few milliseconds; another server that is at it is not waited for.
VACUUM = (
    "VACUUM (SKIP_LOCKED, TRUNCATE false) job_queue",
    "VACUUM (SKIP_LOCKED, TRUNCATE false) leases",
)


async def vacuum(conn: Connection) -> None:
    for statement in VACUUM:
        await conn.execute(statement)
