"""The queue: who waits, and the claim that takes from it."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from psycopg.types.json import Jsonb

from hodei.store.database import Call, Connection, array, guarded_rows, rows


class Offer(NamedTuple):
    """A claimed job, bound to a worker by its lease; PENDING until that worker accepts."""

    lease: int
    job_id: uuid.UUID
    worker_id: uuid.UUID
    attempt: int
    correlation_id: str
    actor: str
    spec: str  # JSON, as stored


class Position(NamedTuple):
    """Of a row in the order of the queue."""

    priority: int
    enqueued_at: datetime


class Wish(NamedTuple):
    """What is asked of the queue: a worker's id for each job wanted, in the order in which slots are to be filled; what they can run."""

    workers: Sequence[uuid.UUID]
    labels: dict[str, str]
    beyond: Position | None = None  # only jobs of its priority, from its age on: what dead rows lie before it are not waded through


class Claimed(NamedTuple):
    offers: list[Offer]
    last: Position | None  # where the claim ended; None: nothing was ready


# Lock, then delete and update, in CTEs: a LIMIT in a sub-select may be run again by a nested loop and take more rows than it says.
CLAIM_HEAD: LiteralString = """
WITH ready AS MATERIALIZED (
    SELECT q.job_id, q.enqueued_at, q.priority
    FROM job_queue q
    WHERE q.waiting IS NULL AND q.labels <@ %(labels)s"""
CLAIM_TAIL: LiteralString = """
    ORDER BY q.priority DESC, q.enqueued_at, q.job_id
    LIMIT cardinality(%(workers)s::uuid[])
    FOR UPDATE SKIP LOCKED
), numbered AS (
    SELECT r.job_id, r.priority, r.enqueued_at, (row_number() OVER (ORDER BY r.priority DESC, r.enqueued_at, r.job_id))::integer AS n
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
    RETURNING j.id, j.lease, j.worker_id, j.attempts + 1 AS attempt, j.correlation_id, j.actor, j.spec, j.updated_at, n.priority,
              n.enqueued_at, n.n
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
SELECT l.lease, l.id, l.worker_id, l.attempt, l.correlation_id, l.actor, l.spec::text, l.priority, l.enqueued_at
FROM leased l
ORDER BY l.n
"""
CLAIM = CLAIM_HEAD + CLAIM_TAIL
CLAIM_BEYOND = CLAIM_HEAD + " AND q.priority = %(priority)s AND q.enqueued_at >= %(enqueued_at)s" + CLAIM_TAIL


def claiming(wish: Wish, accept_within_s: float) -> Call:
    """The claim as a call, for whoever takes it along in a transaction; `claimed` reads its answer."""
    parameters = {"workers": array(wish.workers), "labels": Jsonb(wish.labels), "accept_within_s": accept_within_s}
    if wish.beyond is None:
        return CLAIM, parameters
    return CLAIM_BEYOND, parameters | wish.beyond._asdict()


def claimed(found: Sequence[tuple[Any, ...]]) -> Claimed:
    return Claimed([Offer(*row[:7]) for row in found], Position(*found[-1][7:]) if found else None)


async def claim(conn: Connection, wish: Wish, accept_within_s: float) -> Claimed:
    """Takes up to len(wish.workers) ready jobs whose labels are among the wish's, highest priority first, then oldest."""
    (found,) = await guarded_rows(conn, claiming(wish, accept_within_s))
    return claimed(found)


HEAD = 1000
"""Ready jobs from the head of the queue that are asked what they require."""

REQUIRED = """
SELECT h.labels, sum(count(*)) OVER () < %(head)s FROM (
    SELECT q.labels FROM job_queue q
    WHERE q.waiting IS NULL
    ORDER BY q.priority DESC, q.enqueued_at, q.job_id
    LIMIT %(head)s
) h
GROUP BY h.labels
"""


async def required(conn: Connection) -> tuple[list[dict[str, str]], bool]:
    """The sets of labels that jobs at the head of the queue require; whether that is all that are ready."""
    found = await rows(conn, REQUIRED, {"head": HEAD})
    return [row[0] for row in found], all(row[1] for row in found)


# What is due becomes ready, its age counted from then. At most 1,000 at a time; the next sweep takes the rest.
PROMOTE = """
WITH due AS MATERIALIZED (
    SELECT q.job_id FROM job_queue q
    WHERE q.waiting IS NOT NULL AND q.ready_at <= statement_timestamp()
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
    WHERE q.expires_at <= statement_timestamp()
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


class HeldBack(NamedTuple):
    """What vacuums cannot remove from the queue, and who is to blame as far as this role may see."""

    dead_rows: int
    by: str | None


HELD_BACK = """
SELECT pg_stat_get_dead_tuples('job_queue'::regclass), (
    SELECT h.who FROM (
        SELECT format('process %s (%s, user %s), in a transaction since %s', a.pid, coalesce(nullif(a.application_name, ''), 'no name'),
                      a.usename, to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS')), age(a.backend_xmin)
        FROM pg_stat_activity a WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_backend_pid()
        UNION ALL SELECT 'prepared transaction ' || p.gid, age(p.transaction) FROM pg_prepared_xacts p
        UNION ALL SELECT 'replication slot ' || s.slot_name, age(s.xmin) FROM pg_replication_slots s WHERE s.xmin IS NOT NULL
    ) h (who, age)
    ORDER BY h.age DESC
    LIMIT 1
)
"""


async def held_back(conn: Connection) -> HeldBack:
    return HeldBack(*(await rows(conn, HELD_BACK))[0])
