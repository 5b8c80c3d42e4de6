"""Secrets: versions of values, encrypted before they come here, and which of them each lease was
given."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.secret import MOST_BYTES_OF_A_JOB
from hodei.store.database import Connection
from hodei.store.leases import Claimant, arrays_of
from hodei.store.parameters import arrays
from hodei.store.statements import brief_rows, execute, rows


class Sealed(NamedTuple):
    """A version of a secret, as it is stored."""

    project: str
    name: str
    version: int
    key_id: str  # of the key that it is encrypted with
    sealed: bytes  # nonce and ciphertext


# ── set, list, remove ──

MOST_OF_A_PROJECT = 1000
"""Secrets of one project, and entries of a list."""

# The lock keeps two calls from drawing one version. The last number there is was set by hand.
NEXT_VERSION = """
SELECT greatest(max(s.version) FILTER (WHERE s.version < 9223372036854775807), 0) + 1,
       (SELECT count(DISTINCT o.name)
        FROM secrets o
        WHERE o.project = %(project)s AND o.name <> %(name)s AND o.ended_at IS NULL)
FROM secrets s
WHERE s.project = %(project)s
  AND s.name = %(name)s
"""
LOCK = "SELECT pg_advisory_xact_lock(hashtext('hodei secrets'))"


class Next(NamedTuple):
    version: int
    others: int  # further secrets of the project


async def next_version(conn: Connection, project: str, name: str) -> Next:
    """Returns what `put` needs to know, in the same transaction: others wait for its end."""
    await execute(conn, LOCK, {})
    return Next(*(await rows(conn, NEXT_VERSION, {"project": project, "name": name}))[0])


END = """
UPDATE secrets s
SET ended_at = clock_timestamp()
WHERE s.project = %(project)s
  AND s.name = %(name)s
  AND s.ended_at IS NULL
RETURNING s.project, s.name, s.version, left(s.key_id, 100), s.created_at, left(s.created_by, 500)
"""
ADD = """
INSERT INTO secrets (project, name, version, key_id, sealed, created_by)
VALUES (
    %(project)s::text,
    %(name)s::text,
    %(version)s::bigint,
    %(key_id)s::text,
    %(sealed)s::bytea,
    %(actor)s::text)
RETURNING project, name, version, key_id, created_at, created_by
"""


class Listed(NamedTuple):
    """A secret as people see it: nothing of its value."""

    project: str
    name: str
    version: int
    key_id: str
    created_at: int  # of this version, in microseconds since 1970
    created_by: str


async def put(conn: Connection, row: Sealed, actor: str) -> Listed:
    """Stores a new version; offers get it from now on."""
    await end(conn, row.project, row.name)
    return Listed(*(await rows(conn, ADD, {**row._asdict(), "actor": actor}))[0])


async def end(conn: Connection, project: str, name: str) -> Listed | None:
    """Ends the newest version: no offer gets it any more. None: there is none."""
    found = await rows(conn, END, {"project": project, "name": name})
    return Listed(*found[0]) if found else None


LIST = """
SELECT left(s.project, 200), left(s.name, 200), s.version, left(s.key_id, 100), s.created_at,
       left(s.created_by, 500)
FROM secrets s
WHERE s.ended_at IS NULL
  AND (%(project)s::text IS NULL OR s.project = %(project)s)
ORDER BY s.project, s.name
LIMIT 1001
"""


async def listed(conn: Connection, project: str | None) -> list[Listed]:
    """Returns the secrets of a project, or of all, by their names: MOST_OF_A_PROJECT and one more
    at most."""
    return [Listed(*row) for row in await rows(conn, LIST, {"project": project})]


# ── jobs ──

MISSING = """
SELECT a.job_id, min(a.name COLLATE "C")
FROM unnest(%(job_id)s::uuid[], %(project)s::text[], %(name)s::text[]) AS a (job_id, project, name)
WHERE NOT EXISTS (
        SELECT FROM secrets s
        WHERE s.project = a.project AND s.name = a.name AND s.ended_at IS NULL)
  AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = a.job_id)
GROUP BY a.job_id
"""


class Wanted(NamedTuple):
    """A secret that a new job names. The fields are the columns of MISSING's `a`."""

    job_id: uuid.UUID
    project: str
    name: str


async def missing(conn: Connection, wanted: Sequence[Wanted]) -> dict[uuid.UUID, str]:
    """Returns for each job that names a secret which does not exist the first such name. A job that
    exists is the same job, whatever has become of its secrets."""
    return dict(await rows(conn, MISSING, arrays(Wanted._fields, wanted)))


class Given(NamedTuple):
    """A secret of a lease. `secret` None: there is no such secret, or the job's are too large."""

    lease: int
    name: str
    secret: Sealed | None
    too_large: bool = False


# One statement names the versions in the lease and reads them: a version that a lease names is
# not deleted. Of a job whose values are too large together none is read.
GIVE = """
WITH asked AS (
    SELECT *
    FROM unnest(%(lease)s::bigint[], %(name)s::text[]) AS a (lease, name)
), found AS MATERIALIZED (
    SELECT a.lease, a.name AS asked_for, s.project, s.name, s.version, s.key_id, s.sealed,
           sum(octet_length(s.sealed)) OVER (PARTITION BY a.lease) AS bytes
    FROM asked a
    JOIN leases l ON l.lease = a.lease
    JOIN jobs j ON j.id = l.job_id AND j.lease = l.lease
    LEFT JOIN secrets s
        ON s.project = j.project AND s.name = a.name AND s.ended_at IS NULL
    WHERE l.lease = ANY (%(lease)s::bigint[])
), named AS (
    UPDATE leases l
    SET secrets = f.versions
    FROM (SELECT f.lease, jsonb_object_agg(f.name, f.version) AS versions
          FROM found f
          WHERE f.version IS NOT NULL
          GROUP BY f.lease) f
    WHERE l.lease = f.lease
      AND l.lease = ANY (%(lease)s::bigint[])
)
SELECT f.lease, f.asked_for, f.project, f.name, f.version, f.key_id,
       CASE WHEN f.bytes <= %(most)s::bigint THEN f.sealed END,
       f.bytes > %(most)s::bigint AND f.version IS NOT NULL
FROM found f
"""

SLACK = 64 * 32
"""Bytes of nonces and tags that a job's rows have beside the values, at most."""


async def give(conn: Connection, asked: Sequence[tuple[int, str]]) -> list[Given]:
    """Returns the newest versions of secrets for offers, each asked for as (lease, name), and writes
    down that their leases have them. A lease that no longer holds is missing from the answer."""
    parameters = arrays(("lease", "name"), asked) | {"most": MOST_BYTES_OF_A_JOB + SLACK}
    found = await brief_rows(conn, GIVE, parameters)
    return [
        Given(lease, name, Sealed(*row) if row[4] is not None else None, too_large)
        for lease, name, *row, too_large in found
    ]


# The versions of a lease may be of another shape, set by hand: they fit none that there is.
OF_LEASES = """
SELECT l.lease, s.project, s.name, s.version, s.key_id, s.sealed
FROM leases l
JOIN jobs j ON j.id = l.job_id AND j.lease = l.lease
CROSS JOIN LATERAL jsonb_each(
    CASE WHEN jsonb_typeof(l.secrets) = 'object' THEN l.secrets ELSE '{}' END) AS v (name, version)
JOIN secrets s
    ON s.project = j.project AND s.name = v.name AND s.version::text = v.version::text
WHERE (l.lease, l.worker_id) IN (
    SELECT * FROM unnest(%(leases)s::bigint[], %(workers)s::uuid[]))
"""


async def of_leases(conn: Connection, claimants: Sequence[Claimant]) -> list[Given]:
    """Returns the versions that leases were given, also those that are replaced or removed."""
    found = await rows(conn, OF_LEASES, arrays_of(claimants))
    return [Given(row[0], row[2], Sealed(*row[1:])) for row in found]


# ── keys ──

OTHERWISE_SEALED = """
SELECT s.project, s.name, s.version, s.key_id, s.sealed
FROM secrets s
WHERE s.key_id <> %(key_id)s
ORDER BY s.project, s.name, s.version
LIMIT 50
"""


async def otherwise_sealed(conn: Connection, key_id: str) -> list[Sealed]:
    """Returns versions that are encrypted with another key, 50 at most."""
    return [Sealed(*row) for row in await rows(conn, OTHERWISE_SEALED, {"key_id": key_id})]


RESEAL = """
UPDATE secrets s
SET key_id = %(key_id)s::text,
    sealed = %(sealed)s::bytea
WHERE s.project = %(project)s
  AND s.name = %(name)s
  AND s.version = %(version)s
  AND s.key_id = %(before)s::text
RETURNING s.version
"""


async def reseal(conn: Connection, row: Sealed, before: str) -> bool:
    """Replaces a version by itself under another key. False: somebody else did it."""
    return bool(await rows(conn, RESEAL, {**row._asdict(), "before": before}))


# A minute is far more than a statement takes that read the version as the newest one.
DELETE_ENDED = """
DELETE FROM secrets s
WHERE s.ended_at < clock_timestamp() - interval '1 minute'
  AND NOT EXISTS (
        SELECT
        FROM leases l
        WHERE l.secrets IS NOT NULL
          AND l.secrets @> jsonb_build_object(s.name, s.version))
RETURNING s.version
"""


async def delete_ended(conn: Connection) -> int:
    """Deletes versions that were replaced or removed and that no lease names; returns how many."""
    return len(await rows(conn, DELETE_ENDED))
