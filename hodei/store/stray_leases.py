"""Leases that went astray: offers nobody accepts, attempts whose worker is gone, forgot them or
breaks limits, words that come late.

Everything here only finds, but for record_late; what was found is ended by the guarded statements
of leases.py."""

import uuid
from collections.abc import Sequence

from hodei.domain.timing import LIMIT_MARGIN_S
from hodei.store.database import Connection
from hodei.store.leases import Claimant
from hodei.store.parameters import array
from hodei.store.statements import brief_rows, rows

# Silence counts from listening_since: after an outage nothing is taken back before a full term of
# listening (R7).
OVERDUE = """
SELECT l.lease, l.worker_id
FROM leases l CROSS JOIN hodei_listening h
WHERE l.accepted_at IS NULL
  AND h.last_beat > clock_timestamp() - interval '15 seconds'
  AND greatest(l.accept_by, h.listening_since + make_interval(secs => %(accept_within_s)s)) < clock_timestamp()
ORDER BY l.accept_by
LIMIT 500
"""


async def overdue(conn: Connection, accept_within_s: float) -> list[Claimant]:
    return [
        Claimant(*row) for row in await rows(conn, OVERDUE, {"accept_within_s": accept_within_s})
    ]


# Of workers that are given up (or were cleaned away): their accepted leases are lost, their offers
# go back.
ORPHANED = """
SELECT l.lease, l.worker_id, l.accepted_at IS NOT NULL
FROM leases l LEFT JOIN workers w ON w.id = l.worker_id
WHERE w.id IS NULL OR w.state = 'TERMINATED'
ORDER BY l.lease
LIMIT 500
"""


async def orphaned(conn: Connection) -> list[tuple[Claimant, bool]]:
    return [(Claimant(row[0], row[1]), row[2]) for row in await rows(conn, ORPHANED)]


# `held`: every lease that these workers listed in the heartbeat now written. One that was accepted
# 15 s ago or earlier and is missing in two heartbeats is unknown to its worker; in one it may have
# been accepted meanwhile, by a clock that jumped.
FORGOTTEN = """
WITH missing AS (
    UPDATE leases l SET missing_since = clock_timestamp()
    WHERE l.worker_id = ANY (%(workers)s::uuid[])
      AND l.accepted_at < clock_timestamp() - interval '15 seconds'
      AND l.missing_since IS NULL
      AND (l.lease, l.worker_id) NOT IN (SELECT * FROM unnest(%(held)s::bigint[], %(held_by)s::uuid[]))
), back AS (
    UPDATE leases l SET missing_since = NULL
    WHERE l.lease = ANY (%(held)s::bigint[]) AND l.missing_since IS NOT NULL
      AND (l.lease, l.worker_id) IN (SELECT * FROM unnest(%(held)s::bigint[], %(held_by)s::uuid[]))
)
SELECT l.lease, l.worker_id
FROM leases l
WHERE l.worker_id = ANY (%(workers)s::uuid[]) AND l.missing_since IS NOT NULL
  AND (l.lease, l.worker_id) NOT IN (SELECT * FROM unnest(%(held)s::bigint[], %(held_by)s::uuid[]))
LIMIT 500
"""


async def forgotten(
    conn: Connection, workers: Sequence[uuid.UUID], held: Sequence[Claimant]
) -> list[Claimant]:
    """Accepted leases of these workers that they do not list: what each said it holds stands in
    `held`."""
    parameters = {
        "workers": array(workers),
        "held": array([c.lease for c in held]),
        "held_by": array([c.worker_id for c in held]),
    }
    return [Claimant(*row) for row in await brief_rows(conn, FORGOTTEN, parameters)]


# A limit that the worker should have enforced and did not, a margin ago: of the start, of the run,
# of silence since the last stored chunk.
OVERRUN = """
SELECT l.lease, l.worker_id,
       CASE WHEN l.end_by < clock_timestamp() THEN 'ran longer than its timeout'
            WHEN l.start_by < clock_timestamp() THEN 'did not start within its start_timeout'
            ELSE 'was silent for longer than its silence_timeout' END
FROM leases l CROSS JOIN hodei_listening h
WHERE h.last_beat > clock_timestamp() - interval '15 seconds'
  AND (greatest(l.end_by, h.listening_since + make_interval(secs => %(margin_s)s)) < clock_timestamp() AND l.end_by IS NOT NULL
       OR greatest(l.start_by, h.listening_since + make_interval(secs => %(margin_s)s)) < clock_timestamp() AND l.start_by IS NOT NULL
       OR extract(epoch FROM clock_timestamp())::float8
          - extract(epoch FROM greatest(coalesce(l.log_at, l.accepted_at), h.listening_since))::float8 > l.silence_s + %(margin_s)s)
ORDER BY l.lease
LIMIT 500
"""


async def overrun(conn: Connection) -> list[tuple[Claimant, str]]:
    """Accepted leases beyond a limit, and which one."""
    return [
        (Claimant(row[0], row[1]), row[2])
        for row in await rows(conn, OVERRUN, {"margin_s": LIMIT_MARGIN_S})
    ]


# Leases that a worker lists and nobody gave it (any more): it is to be refused, though it may never
# say a word about them.
UNKNOWN = """
SELECT s.lease, s.worker_id
FROM unnest(%(leases)s::bigint[], %(workers)s::uuid[]) AS s (lease, worker_id)
WHERE (s.lease, s.worker_id) NOT IN (SELECT l.lease, l.worker_id FROM leases l WHERE l.lease = ANY (%(leases)s::bigint[]))
"""


async def unknown(conn: Connection, listed: Sequence[Claimant]) -> list[Claimant]:
    parameters = {
        "leases": array([c.lease for c in listed]),
        "workers": array([c.worker_id for c in listed]),
    }
    return [Claimant(*row) for row in await rows(conn, UNKNOWN, parameters)]
