"""Claims: ready jobs are taken out of the queue and bound to workers."""

import uuid
from collections.abc import Sequence
from typing import Any, LiteralString, NamedTuple

from psycopg.types.json import Jsonb

from hodei.domain.secret import SecretValues
from hodei.protocol.bounds import LONGEST_SPEC, MOST_NUMBER
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import Call, guarded_rows, rows


class Offer(NamedTuple):
    """A claimed job, bound to a worker by its lease. It is PENDING until that worker accepts it."""

    lease: int
    job_id: uuid.UUID
    worker_id: uuid.UUID
    attempt: int
    correlation_id: str
    actor: str
    spec: str  # JSON, as stored
    secrets: SecretValues | None = None  # that the spec names, once they are read

    @property
    def fits(self) -> bool:
        """Whether it can be put into a message. What a hand has written into a row may not."""
        return 0 < self.attempt < 1 << 31 and len(self.spec) <= LONGEST_SPEC

    @property
    def has_number(self) -> bool:
        """Whether a worker takes the number of its lease."""
        return self.lease <= MOST_NUMBER


class Position(NamedTuple):
    """The place of a row in the order of the queue."""

    priority: int
    enqueued_us: int  # microseconds since 1970


class ClaimRequest(NamedTuple):
    """What a claim asks of the queue."""

    # A worker's id for each job that is wanted, in the order in which slots are to be filled.
    workers: Sequence[uuid.UUID]
    # What these workers have: jobs that require nothing else.
    labels: dict[str, str]
    # Only jobs of this priority, from this age on: the claim skips the dead rows before it.
    beyond: Position | None = None
    # Not these jobs: somebody has locked their row, or it is at fault.
    avoid: Sequence[uuid.UUID] = ()
    # Only these jobs.
    among: Sequence[uuid.UUID] | None = None
    # Only jobs of these projects; empty: of all.
    projects: Sequence[str] = ()


class Claimed(NamedTuple):
    """What a claim took."""

    offers: list[Offer]
    last: Position | None  # where the claim ended; None: nothing was ready


# The rows are locked in a CTE, then deleted and updated: a LIMIT in a sub-select may be run again
# by a nested loop, and take more rows than it says.
CLAIM_HEAD: LiteralString = """
WITH ready AS MATERIALIZED (
    SELECT q.job_id, q.enqueued_at, q.expires_at, q.priority
    FROM job_queue q
    WHERE q.waiting IS NULL
      AND q.labels <@ %(labels)s
      AND (q.labels ? 'hodei/executor' OR NOT %(labels)s ? 'hodei/containers-only')
      AND q.job_id <> ALL (%(avoid)s::uuid[])"""
CLAIM_TAIL: LiteralString = """
    ORDER BY q.priority DESC, q.enqueued_at, q.job_id
    LIMIT cardinality(%(workers)s::uuid[])
    FOR UPDATE SKIP LOCKED
), numbered AS (
    SELECT r.job_id, r.priority, r.enqueued_at, r.expires_at,
           (row_number() OVER (
               ORDER BY r.priority DESC, r.enqueued_at, r.job_id))::integer AS n
    FROM ready r
), unqueued AS (
    DELETE FROM job_queue q
    WHERE q.job_id = ANY (ARRAY(SELECT r.job_id FROM ready r))
), leased AS (
    UPDATE jobs j
    SET lease = nextval('hodei_lease_seq'),
        worker_id = (%(workers)s::uuid[])[n.n],
        updated_at = greatest(clock_timestamp(), j.updated_at + interval '1 microsecond')
    FROM numbered n
    WHERE j.id = n.job_id
      AND j.id = ANY (ARRAY(SELECT r.job_id FROM ready r))
      AND j.state = 'PENDING'
      AND j.lease IS NULL
    RETURNING j.id, j.lease, j.worker_id, j.attempts + 1 AS attempt, j.correlation_id, j.actor,
              j.spec, j.silence_timeout_ms, j.updated_at, n.priority, n.enqueued_at, n.expires_at,
              n.n
), offers AS (
    INSERT INTO leases (
        lease, job_id, worker_id, attempt, enqueued_at, expires_at, offered_at, accept_by,
        silence_s)
    SELECT l.lease, l.id, l.worker_id, l.attempt, l.enqueued_at, l.expires_at, l.updated_at,
           clock_timestamp() + make_interval(secs => %(accept_within_s)s),
           l.silence_timeout_ms / 1000.0
    FROM leased l
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT l.updated_at, 'JobAssigned', l.id::text, l.correlation_id, 'system:job_dispatcher',
           l.worker_id,
           jsonb_build_object(
               'job_id', l.id,
               'worker_id', l.worker_id,
               'lease', l.lease,
               'attempt', l.attempt)
    FROM leased l
)
SELECT l.lease, l.id, l.worker_id, l.attempt, l.correlation_id, l.actor, l.spec::text, l.priority,
       l.enqueued_at
FROM leased l
ORDER BY l.n
"""
BEYOND: LiteralString = """
      AND q.priority = %(priority)s
      AND q.enqueued_at
          >= timestamptz 'epoch' + %(enqueued_us)s::bigint * interval '1 microsecond'"""
AMONG: LiteralString = """
      AND q.job_id = ANY (%(among)s::uuid[])"""

# Workers without a limit have a statement of their own: they do not pay for it. A row that is not
# filed yet (job_queue.FILE) is left to the next claim.
OF_PROJECTS: LiteralString = """
      AND q.project = ANY (%(projects)s::text[])"""

CLAIM = CLAIM_HEAD + CLAIM_TAIL
CLAIM_BEYOND = CLAIM_HEAD + BEYOND + CLAIM_TAIL
CLAIM_AMONG = CLAIM_HEAD + AMONG + CLAIM_TAIL
CLAIM_OF_PROJECTS = CLAIM_HEAD + OF_PROJECTS + CLAIM_TAIL
CLAIM_OF_PROJECTS_BEYOND = CLAIM_HEAD + OF_PROJECTS + BEYOND + CLAIM_TAIL
CLAIM_OF_PROJECTS_AMONG = CLAIM_HEAD + OF_PROJECTS + AMONG + CLAIM_TAIL


def claiming(request: ClaimRequest, accept_within_s: float) -> Call:
    """The claim as a call, for a transaction that takes it along; `claimed` reads its answer."""
    parameters = {
        "workers": array(request.workers),
        "labels": Jsonb(request.labels),
        "accept_within_s": accept_within_s,
        "avoid": array(request.avoid),
    }
    limited = bool(request.projects)
    if limited:
        parameters["projects"] = array(request.projects)
    if request.among is not None:
        statement = CLAIM_OF_PROJECTS_AMONG if limited else CLAIM_AMONG
        return statement, parameters | {"among": array(request.among)}
    if request.beyond is None:
        return CLAIM_OF_PROJECTS if limited else CLAIM, parameters
    statement = CLAIM_OF_PROJECTS_BEYOND if limited else CLAIM_BEYOND
    return statement, parameters | request.beyond._asdict()


def claimed(found: Sequence[tuple[Any, ...]]) -> Claimed:
    return Claimed([Offer(*row[:7]) for row in found], Position(*found[-1][7:]) if found else None)


async def claim(conn: Connection, request: ClaimRequest, accept_within_s: float) -> Claimed:
    """Takes up to len(request.workers) ready jobs that require nothing but the request's labels,
    and that are container jobs if its workers run only those: the highest priority first, then the
    oldest."""
    (found,) = await guarded_rows(conn, claiming(request, accept_within_s))
    return claimed(found)


CLAIMABLE = """
SELECT q.job_id
FROM job_queue q
WHERE q.waiting IS NULL
  AND q.labels <@ %(labels)s
  AND (q.labels ? 'hodei/executor' OR NOT %(labels)s ? 'hodei/containers-only')
  AND (cardinality(%(projects)s::text[]) = 0 OR q.project = ANY (%(projects)s::text[]))
  AND q.job_id <> ALL (%(avoid)s::uuid[])
ORDER BY q.priority DESC, q.enqueued_at, q.job_id
LIMIT %(most)s
"""


async def claimable(conn: Connection, request: ClaimRequest) -> list[uuid.UUID]:
    """Returns the jobs that a claim would take now, in its order."""
    parameters = {
        "labels": Jsonb(request.labels),
        "projects": array(request.projects),
        "avoid": array(request.avoid),
        "most": len(request.workers),
    }
    return [row[0] for row in await rows(conn, CLAIMABLE, parameters)]


LOCKED = """
WITH free AS (
    SELECT j.id
    FROM jobs j
    WHERE j.id = ANY (%(jobs)s::uuid[])
    FOR UPDATE SKIP LOCKED
)
SELECT j.id
FROM jobs j
WHERE j.id = ANY (%(jobs)s::uuid[])
  AND j.id NOT IN (SELECT f.id FROM free f)
"""


async def locked(conn: Connection, jobs: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Returns the jobs whose row somebody else's transaction has locked."""
    return {row[0] for row in await rows(conn, LOCKED, {"jobs": array(jobs)})}
