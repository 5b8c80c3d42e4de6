"""Leases that went astray: offers that nobody accepts, attempts whose worker is gone, does not list
them or let them run beyond a limit.

What is found here is ended by the guarded statements of releases.py and results.py. Silence counts
from listening_since: after an outage no sweep judges anybody before a full term of listening
(docs/architecture.md, rule 6)."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.timing import KNOWN_WITHIN_S, LIMIT_MARGIN_S, LISTENING_GAP_S
from hodei.store.database import Connection
from hodei.store.leases import Claimant, arrays_of
from hodei.store.parameters import array
from hodei.store.statements import brief_rows, rows

OVERDUE = """
SELECT l.lease, l.worker_id
FROM leases l
CROSS JOIN hodei_listening h
WHERE l.accepted_at IS NULL
  AND h.last_beat > clock_timestamp() - make_interval(secs => %(gap_s)s)
  AND greatest(l.accept_by, h.listening_since + make_interval(secs => %(accept_within_s)s))
      < clock_timestamp()
ORDER BY l.accept_by
LIMIT 500
"""


async def overdue(conn: Connection, accept_within_s: float) -> list[Claimant]:
    """Returns offers that no slot accepted in time, 500 at most."""
    parameters = {"accept_within_s": accept_within_s, "gap_s": LISTENING_GAP_S}
    return [Claimant(*row) for row in await rows(conn, OVERDUE, parameters)]


ORPHANED = """
SELECT l.lease, l.worker_id, l.accepted_at IS NOT NULL
FROM leases l
LEFT JOIN workers w ON w.id = l.worker_id
WHERE w.id IS NULL OR w.state = 'TERMINATED'
ORDER BY l.lease
LIMIT 500
"""


class Orphan(NamedTuple):
    """A lease whose worker is TERMINATED or has no row any more."""

    claimant: Claimant
    accepted: bool  # its attempt is lost; else it is an offer, and goes back


async def orphaned(conn: Connection) -> list[Orphan]:
    """Returns leases that nobody speaks for any more, 500 at most."""
    return [Orphan(Claimant(row[0], row[1]), row[2]) for row in await rows(conn, ORPHANED)]


# A lease must be missing in two heartbeats: within one, it may have been accepted meanwhile, by a
# clock that jumped.
FORGOTTEN = """
WITH missing AS (
    UPDATE leases l
    SET missing_since = clock_timestamp()
    WHERE l.worker_id = ANY (%(workers)s::uuid[])
      AND l.accepted_at < clock_timestamp() - make_interval(secs => %(known_within_s)s)
      AND l.missing_since IS NULL
      AND (l.lease, l.worker_id) NOT IN (
          SELECT * FROM unnest(%(held)s::bigint[], %(held_by)s::uuid[]))
), back AS (
    UPDATE leases l
    SET missing_since = NULL
    WHERE l.lease = ANY (%(held)s::bigint[])
      AND l.missing_since IS NOT NULL
      AND (l.lease, l.worker_id) IN (
          SELECT * FROM unnest(%(held)s::bigint[], %(held_by)s::uuid[]))
)
SELECT l.lease, l.worker_id
FROM leases l
WHERE l.worker_id = ANY (%(workers)s::uuid[])
  AND l.missing_since IS NOT NULL
  AND (l.lease, l.worker_id) NOT IN (
      SELECT * FROM unnest(%(held)s::bigint[], %(held_by)s::uuid[]))
LIMIT 500
"""


async def forgotten(
    conn: Connection, workers: Sequence[uuid.UUID], held: Sequence[Claimant]
) -> list[Claimant]:
    """Returns accepted leases of these workers that were missing in their last two heartbeats, 500
    at most, and notes those that are missing for the first time. `held` has every lease that each
    of them listed in the heartbeat that is now written."""
    parameters = {
        "workers": array(workers),
        "held": array([c.lease for c in held]),
        "held_by": array([c.worker_id for c in held]),
        "known_within_s": KNOWN_WITHIN_S,
    }
    return [Claimant(*row) for row in await brief_rows(conn, FORGOTTEN, parameters)]


OVERRUN = """
SELECT l.lease, l.worker_id,
       CASE
           WHEN l.end_by < clock_timestamp() THEN 'ran longer than its timeout'
           WHEN l.start_by < clock_timestamp() THEN 'did not start within its start_timeout'
           ELSE 'was silent for longer than its silence_timeout'
       END
FROM leases l
CROSS JOIN hodei_listening h
WHERE h.last_beat > clock_timestamp() - make_interval(secs => %(gap_s)s)
  AND (l.end_by IS NOT NULL
       AND greatest(l.end_by, h.listening_since + make_interval(secs => %(margin_s)s))
           < clock_timestamp()
       OR l.start_by IS NOT NULL
       AND greatest(l.start_by, h.listening_since + make_interval(secs => %(margin_s)s))
           < clock_timestamp()
       OR extract(epoch FROM clock_timestamp())::float8
          - extract(epoch FROM greatest(coalesce(l.log_at, l.accepted_at), h.listening_since))::float8
          > l.silence_s + %(margin_s)s)
ORDER BY l.lease
LIMIT 500
"""


class Overrun(NamedTuple):
    """An attempt that went beyond a limit, which its worker should have enforced."""

    claimant: Claimant
    words: str  # which limit, for people


async def overrun(conn: Connection) -> list[Overrun]:
    """Returns attempts that are LIMIT_MARGIN_S beyond a limit (of the start, of the run, of silence
    since the last stored chunk), 500 at most."""
    parameters = {"margin_s": LIMIT_MARGIN_S, "gap_s": LISTENING_GAP_S}
    found = await rows(conn, OVERRUN, parameters)
    return [Overrun(Claimant(row[0], row[1]), row[2]) for row in found]


UNKNOWN = """
SELECT s.lease, s.worker_id
FROM unnest(%(leases)s::bigint[], %(workers)s::uuid[]) AS s (lease, worker_id)
WHERE (s.lease, s.worker_id) NOT IN (
    SELECT l.lease, l.worker_id
    FROM leases l
    WHERE l.lease = ANY (%(leases)s::bigint[]))
"""


async def unknown(conn: Connection, listed: Sequence[Claimant]) -> list[Claimant]:
    """Returns those of the leases that workers list which are not theirs, or no longer. They are to
    be refused: the worker may never say a word about them."""
    return [Claimant(*row) for row in await rows(conn, UNKNOWN, arrays_of(listed))]
