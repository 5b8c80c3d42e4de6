"""Leases in flight: offers that are renewed, cancels that their workers know of, starts, and what
is asked about them.

Every function takes a batch, and every statement is keyed by lease and worker: what a worker says
about a lease of another one changes nothing. Their ends are in results.py and releases.py."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.timing import LONGEST_OFFER_S
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import brief_rows, rows


class Claimant(NamedTuple):
    """A lease, and the worker that speaks under it."""

    lease: int
    worker_id: uuid.UUID


def arrays_of(claimants: Sequence[Claimant]) -> dict[str, object]:
    """The parameters `leases` and `workers` of a statement."""
    return {
        "leases": array([c.lease for c in claimants]),
        "workers": array([c.worker_id for c in claimants]),
    }


RENEW_OFFERS = """
UPDATE leases l
SET accept_by = clock_timestamp() + make_interval(secs => %(accept_within_s)s)
WHERE (l.lease, l.worker_id) IN (
    SELECT * FROM unnest(%(leases)s::bigint[], %(workers)s::uuid[]))
  AND l.accepted_at IS NULL
  AND l.offered_at > clock_timestamp() - make_interval(secs => %(longest_offer_s)s)
"""


WITHOUT_END_S = 1e9
"""A term of thirty years."""


async def renew_offers(
    conn: Connection,
    offers: Sequence[Claimant],
    accept_within_s: float,
    longest_s: float = LONGEST_OFFER_S,
) -> None:
    """Gives offers a new term, for `longest_s` in all: those that their workers list as waiting, and
    without an end those whose accepts have come and wait to be stored."""
    terms = {"accept_within_s": accept_within_s, "longest_offer_s": longest_s}
    await brief_rows(conn, RENEW_OFFERS, arrays_of(offers) | terms)


LOCKED = """
WITH free AS (
    SELECT l.lease
    FROM leases l JOIN jobs j ON j.id = l.job_id
    WHERE l.lease = ANY (%(leases)s::bigint[])
    FOR UPDATE SKIP LOCKED
)
SELECT l.lease
FROM leases l
WHERE l.lease = ANY (%(leases)s::bigint[])
  AND l.lease NOT IN (SELECT f.lease FROM free f)
"""


async def locked(conn: Connection, leases: Sequence[int]) -> set[int]:
    """Returns the leases that no statement can write now: somebody else's transaction has locked
    their row, or their job's."""
    return {row[0] for row in await rows(conn, LOCKED, {"leases": array(leases)})}


# A lock that is waited for counts as well: writers wait behind it. Who changes rows takes none of
# these modes.
TABLE_LOCKED = """
WITH tables AS (
    SELECT t.of
    FROM (VALUES ('jobs'::regclass), ('leases'), ('job_logs'), ('domain_events')) AS t (of)
), relations AS (
    SELECT t.of FROM tables t
    UNION ALL
    SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent IN (SELECT t.of FROM tables t)
)
SELECT EXISTS (
    SELECT
    FROM pg_locks k
    JOIN relations r ON r.of = k.relation
    WHERE k.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND k.mode IN (
          'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
"""


async def unwritable(conn: Connection, leases: Sequence[int]) -> set[int]:
    """Returns the leases of which nothing can be stored now that their workers say: those that are
    locked, or all, while somebody builds an index of a table or a partition, or alters it."""
    if await rows(conn, TABLE_LOCKED, {}) == [(True,)]:
        return set(leases)
    return await locked(conn, leases)


JOBS_OF = """
SELECT l.job_id
FROM leases l
WHERE (l.lease, l.worker_id) IN (
    SELECT * FROM unnest(%(leases)s::bigint[], %(workers)s::uuid[]))
"""


async def jobs_of(conn: Connection, claimants: Sequence[Claimant]) -> list[uuid.UUID]:
    """Returns the jobs of those leases that are these workers'."""
    return [row[0] for row in await rows(conn, JOBS_OF, arrays_of(claimants))]


class HeldLease(NamedTuple):
    """How far a lease that holds has come."""

    lease: int
    job_id: uuid.UUID
    accepted: bool
    log_seq: int  # number of the next log chunk
    cancel_requested: bool
    has_secrets: bool


# Where the chunk before log_seq is not stored a hand has set it, and the worker goes on with what no
# server has acknowledged.
HELD_BY = """
SELECT l.lease, l.job_id, l.accepted_at IS NOT NULL,
       CASE
           WHEN l.log_seq NOT BETWEEN 1 AND 4611686018427387904 THEN 0
           WHEN EXISTS (
               SELECT
               FROM job_logs g
               WHERE g.job_id = l.job_id AND g.lease = l.lease AND g.seq = l.log_seq - 1)
           THEN l.log_seq ELSE 0
       END,
       j.cancel_requested_at IS NOT NULL, l.secrets IS NOT NULL
FROM leases l
JOIN jobs j ON j.id = l.job_id AND j.lease = l.lease
WHERE l.lease = ANY (%(leases)s::bigint[])
  AND l.worker_id = %(worker)s::uuid
"""


async def held_by(
    conn: Connection, worker_id: uuid.UUID, leases: list[int]
) -> dict[int, HeldLease]:
    """Returns which leases of a reconnecting worker still hold, and where each goes on."""
    found = await rows(conn, HELD_BY, {"worker": worker_id, "leases": leases})
    return {row[0]: HeldLease(*row) for row in found}


UNDELIVERED_CANCELS = """
SELECT l.lease, l.worker_id
FROM leases l
JOIN jobs j ON j.id = l.job_id AND j.lease = l.lease
WHERE l.worker_id = ANY (%(workers)s::uuid[])
  AND l.cancel_delivered_at IS NULL
  AND j.cancel_requested_at IS NOT NULL
LIMIT 1000
"""


async def undelivered_cancels(conn: Connection, workers: list[uuid.UUID]) -> list[Claimant]:
    """Returns leases of these workers whose cancel they have not confirmed yet, 1,000 at most."""
    return [Claimant(*row) for row in await rows(conn, UNDELIVERED_CANCELS, {"workers": workers})]


STARTED = """
UPDATE leases l
SET start_by = NULL
WHERE l.lease = ANY (%(leases)s::bigint[])
  AND l.worker_id = %(worker)s::uuid
  AND l.start_by IS NOT NULL
"""


async def started(conn: Connection, worker_id: uuid.UUID, leases: list[int]) -> None:
    """Writes down that the processes of these attempts run: start_timeout no longer counts."""
    await brief_rows(conn, STARTED, {"worker": worker_id, "leases": leases})


CANCEL_DELIVERED = """
UPDATE leases l
SET cancel_delivered_at = coalesce(l.cancel_delivered_at, clock_timestamp()),
    stopping_at = CASE
        WHEN %(stopping)s::boolean THEN coalesce(l.stopping_at, clock_timestamp())
    END
WHERE l.lease = ANY (%(leases)s::bigint[])
  AND l.worker_id = %(worker)s::uuid
  AND l.stopping_at IS NULL
"""


async def cancel_delivered(
    conn: Connection, worker_id: uuid.UUID, leases: list[int], *, stopping: bool
) -> None:
    """Writes down that the worker knows of the cancel. `stopping`: TERM is on its way, too."""
    await brief_rows(
        conn, CANCEL_DELIVERED, {"worker": worker_id, "leases": leases, "stopping": stopping}
    )
