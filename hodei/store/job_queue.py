"""The queue: who waits, and the claim that takes from it."""

import uuid
from collections.abc import Sequence
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from hodei.store import sqlstate
from hodei.store.database import Call, Connection, array, brief_rows, guarded_rows, rows

LONGEST_SPEC = 600_000
"""Characters of a spec that a worker is sent: twice of what the door takes, so that a frame stays
under 4 MiB."""


class Offer(NamedTuple):
    """A claimed job, bound to a worker by its lease; PENDING until that worker accepts."""

    lease: int
    job_id: uuid.UUID
    worker_id: uuid.UUID
    attempt: int
    correlation_id: str
    actor: str
    spec: str  # JSON, as stored

    @property
    def fits(self) -> bool:
        """Whether it can be put into a message. What a hand has written into a row may not."""
        return 0 < self.attempt < 1 << 31 and len(self.spec) <= LONGEST_SPEC


class Position(NamedTuple):
    """Of a row in the order of the queue."""

    priority: int
    enqueued_us: int  # microseconds since 1970


class Wish(NamedTuple):
    """What is asked of the queue: a worker's id for each job wanted, in the order in which slots
    are to be filled; what they can run."""

    workers: Sequence[uuid.UUID]
    labels: dict[str, str]
    beyond: Position | None = (
        # only jobs of its priority, from its age on: what dead rows lie before it are not waded
        # through
        None
    )
    avoid: Sequence[
        uuid.UUID
    ] = ()  # jobs that cannot be claimed just now: somebody has locked their row, or it is at fault
    among: Sequence[uuid.UUID] | None = None  # only these jobs


class Claimed(NamedTuple):
    offers: list[Offer]
    last: Position | None  # where the claim ended; None: nothing was ready


# Lock, then delete and update, in CTEs: a LIMIT in a sub-select may be run again by a nested loop
# and take more rows than it says.
CLAIM_HEAD: LiteralString = """
WITH ready AS MATERIALIZED (
    SELECT q.job_id, q.enqueued_at, q.expires_at, q.priority
    FROM job_queue q
    WHERE q.waiting IS NULL AND q.labels <@ %(labels)s AND q.job_id <> ALL (%(avoid)s::uuid[])"""
CLAIM_TAIL: LiteralString = """
    ORDER BY q.priority DESC, q.enqueued_at, q.job_id
    LIMIT cardinality(%(workers)s::uuid[])
    FOR UPDATE SKIP LOCKED
), numbered AS (
    SELECT r.job_id, r.priority, r.enqueued_at, r.expires_at,
           (row_number() OVER (ORDER BY r.priority DESC, r.enqueued_at, r.job_id))::integer AS n
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
    RETURNING j.id, j.lease, j.worker_id, j.attempts + 1 AS attempt, j.correlation_id, j.actor, j.spec, j.silence_timeout_ms, j.updated_at,
              n.priority, n.enqueued_at, n.expires_at, n.n
), offers AS (
    INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, expires_at, offered_at, accept_by, silence_s)
    SELECT l.lease, l.id, l.worker_id, l.attempt, l.enqueued_at, l.expires_at, l.updated_at,
           clock_timestamp() + make_interval(secs => %(accept_within_s)s), l.silence_timeout_ms / 1000.0
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
CLAIM_BEYOND = (
    CLAIM_HEAD
    + " AND q.priority = %(priority)s AND q.enqueued_at >= timestamptz 'epoch' + %(enqueued_us)s::bigint * interval '1 microsecond'"
    + CLAIM_TAIL
)
CLAIM_AMONG = CLAIM_HEAD + " AND q.job_id = ANY (%(among)s::uuid[])" + CLAIM_TAIL


def claiming(wish: Wish, accept_within_s: float) -> Call:
    """The claim as a call, for whoever takes it along in a transaction; `claimed` reads its
    answer."""
    parameters = {
        "workers": array(wish.workers),
        "labels": Jsonb(wish.labels),
        "accept_within_s": accept_within_s,
        "avoid": array(wish.avoid),
    }
    if wish.among is not None:
        return CLAIM_AMONG, parameters | {"among": array(wish.among)}
    if wish.beyond is None:
        return CLAIM, parameters
    return CLAIM_BEYOND, parameters | wish.beyond._asdict()


def claimed(found: Sequence[tuple[Any, ...]]) -> Claimed:
    return Claimed([Offer(*row[:7]) for row in found], Position(*found[-1][7:]) if found else None)


async def claim(conn: Connection, wish: Wish, accept_within_s: float) -> Claimed:
    """Takes up to len(wish.workers) ready jobs whose labels are among the wish's, highest priority
    first, then oldest."""
    (found,) = await guarded_rows(conn, claiming(wish, accept_within_s))
    return claimed(found)


CLAIMABLE = (
    "SELECT q.job_id FROM job_queue q WHERE q.waiting IS NULL AND q.labels <@ %(labels)s AND q.job_id <> ALL (%(avoid)s::uuid[])"
    " ORDER BY q.priority DESC, q.enqueued_at, q.job_id LIMIT %(most)s"
)


async def claimable(conn: Connection, wish: Wish) -> list[uuid.UUID]:
    """The jobs that a claim would take now, in its order."""
    parameters = {
        "labels": Jsonb(wish.labels),
        "avoid": array(wish.avoid),
        "most": len(wish.workers),
    }
    return [row[0] for row in await rows(conn, CLAIMABLE, parameters)]


LOCKED = """
WITH free AS (
    SELECT j.id FROM jobs j WHERE j.id = ANY (%(jobs)s::uuid[]) FOR UPDATE SKIP LOCKED
)
SELECT j.id FROM jobs j WHERE j.id = ANY (%(jobs)s::uuid[]) AND j.id NOT IN (SELECT f.id FROM free f)
"""


async def locked(conn: Connection, jobs: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Those whose row somebody else's transaction has locked."""
    return {row[0] for row in await rows(conn, LOCKED, {"jobs": array(jobs)})}


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
    """The sets of labels that jobs at the head of the queue require; whether that is all that are
    ready."""
    found = await rows(conn, REQUIRED, {"head": HEAD})
    return [row[0] for row in found if isinstance(row[0], dict)], all(row[1] for row in found)


# A queue_timeout counts from when the row could first be seen: the transaction that made it may
# have been open for long.
SEE = """
WITH unseen AS MATERIALIZED (
    SELECT q.job_id FROM job_queue q WHERE q.unseen_ms IS NOT NULL LIMIT 1000 FOR UPDATE SKIP LOCKED
)
UPDATE job_queue q
SET unseen_ms = NULL,
    expires_at = greatest(q.ready_at, statement_timestamp()) + least(q.unseen_ms, 31536000000) * interval '1 millisecond'
FROM unseen u
WHERE q.job_id = u.job_id
"""


async def see(conn: Connection) -> None:
    """Starts the queue_timeout of rows that are new; at most 1,000, the next sweep takes the
    rest."""
    await brief_rows(conn, SEE, {})


DUE = """
SELECT q.job_id FROM job_queue q
WHERE q.waiting IS NOT NULL AND q.ready_at <= statement_timestamp()
ORDER BY q.ready_at
LIMIT 1000
"""


async def due(conn: Connection) -> list[uuid.UUID]:
    """Jobs whose time or back-off has come; at most 1,000, the next sweep takes the rest."""
    return [row[0] for row in await rows(conn, DUE)]


# What is due becomes ready, its age counted from then.
PROMOTE = """
WITH due AS MATERIALIZED (
    SELECT q.job_id FROM job_queue q
    WHERE q.job_id = ANY (%(jobs)s::uuid[]) AND q.waiting IS NOT NULL AND q.ready_at <= statement_timestamp()
    ORDER BY q.job_id
    FOR UPDATE SKIP LOCKED
), promoted AS (
    UPDATE job_queue q
    SET waiting = NULL, enqueued_at = q.ready_at, ready_at = NULL
    FROM due d
    WHERE q.job_id = d.job_id
    RETURNING q.job_id
)
SELECT p.job_id, CASE WHEN row_number() OVER () = 1 THEN pg_notify('hodei_work', '')::text END FROM promoted p
"""


async def promote(conn: Connection, jobs: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    return {row[0] for row in await brief_rows(conn, PROMOTE, {"jobs": array(jobs)})}


EXPIRED = """
SELECT q.job_id FROM job_queue q WHERE q.expires_at <= statement_timestamp() ORDER BY q.expires_at LIMIT 500
"""


async def expired(conn: Connection) -> list[uuid.UUID]:
    """Jobs that have waited in the queue for longer than their spec allows; at most 500."""
    return [row[0] for row in await rows(conn, EXPIRED)]


class Expired(NamedTuple):
    job_id: uuid.UUID
    correlation_id: str


# The queue row is the guard, as for a cancel.
EXPIRE = """
WITH due AS MATERIALIZED (
    SELECT q.job_id FROM job_queue q
    WHERE q.job_id = ANY (%(jobs)s::uuid[]) AND q.expires_at <= statement_timestamp()
    ORDER BY q.job_id
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
SELECT e.id, e.correlation_id FROM expired e
"""


async def expire(conn: Connection, jobs: Sequence[uuid.UUID]) -> list[Expired]:
    """PENDING → FAILED, TIMEOUT."""
    return [Expired(*row) for row in await brief_rows(conn, EXPIRE, {"jobs": array(jobs)})]


# Each job passes through both tables and leaves a dead row in each. Autovacuum looks once a minute:
# by then a claim would wade through tens of thousands. Two statements of a few milliseconds;
# another server that is at it is not waited for.
VACUUM = (
    "VACUUM (SKIP_LOCKED, TRUNCATE false) job_queue",
    "VACUUM (SKIP_LOCKED, TRUNCATE false) leases",
)


async def vacuum(conn: Connection) -> list[str]:
    """What PostgreSQL skipped, in its words: a table that this role may not vacuum is a warning to
    it, and no error."""
    skipped: list[str] = []

    def note(notice: psycopg.errors.Diagnostic) -> None:
        if notice.sqlstate != sqlstate.LOCKED and notice.message_primary:
            skipped.append(notice.message_primary)

    conn.add_notice_handler(note)
    try:
        for statement in VACUUM:
            await conn.execute(statement)
    finally:
        conn.remove_notice_handler(note)
    return skipped


class HeldBack(NamedTuple):
    """What vacuums cannot remove from the queue, and who is to blame as far as this role may
    see."""

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
