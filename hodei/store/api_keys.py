"""API keys: made, listed, revoked, and read again by each server for the keys that it knows."""

from collections.abc import Sequence
from typing import Any, LiteralString, NamedTuple

from hodei.domain.api_key import ApiKey, KeyState
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import execute, rows

MOST_USABLE = 10_000
"""Keys that can be used at the same time. A further one is refused."""

MOST_LISTED = 1_000

CHANNEL = "hodei_key"
"""The channel on which servers are told that a key was made or revoked."""


class Key(NamedTuple):
    """A row of api_keys as lists show it. Times are microseconds since 1970."""

    id: str
    name: str
    role: str
    project: str | None
    created_at: int
    created_by: str
    expires_at: int | None
    revoked_at: int | None
    used_at: int | None
    state: KeyState


SHOWN: LiteralString = """
SELECT left(k.id, 100), left(k.name, 200), left(k.role, 50), left(k.project, 200), k.created_at,
       left(k.created_by, 500), k.expires_at, k.revoked_at, k.used_at,
       CASE
           WHEN k.revoked_at IS NOT NULL THEN 'REVOKED'
           WHEN k.expires_at <= clock_timestamp() THEN 'EXPIRED'
           ELSE 'USABLE'
       END
"""
"""Begins the statements that return a Key."""

# The event and the row are written together; a key beyond the bound is not written.
CREATED: LiteralString = """
WITH made AS (
    INSERT INTO api_keys AS k (id, name, role, project, secret_sha256, created_by, expires_at)
    SELECT %(id)s::text, %(name)s::text, %(role)s::text, %(project)s::text,
           %(secret_sha256)s::bytea, %(actor)s::text,
           clock_timestamp() + make_interval(secs => %(expires_s)s::float8)
    WHERE (
        SELECT count(*) < %(most)s::integer
        FROM (
            SELECT
            FROM api_keys u
            WHERE u.revoked_at IS NULL
              AND (u.expires_at IS NULL OR u.expires_at > clock_timestamp())
            LIMIT %(most)s::integer) u)
    RETURNING k.*
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT k.created_at, 'KeyCreated', k.id, k.id, k.created_by,
           jsonb_strip_nulls(jsonb_build_object(
               'key_id', k.id,
               'name', k.name,
               'role', k.role,
               'project', k.project,
               'expires_at', k.expires_at,
               'on_behalf_of', nullif(%(on_behalf_of)s::text, '')))
    FROM made k
), told AS (
    SELECT pg_notify('hodei_key', k.id)
    FROM made k
)
"""
CREATE = CREATED + SHOWN + "FROM made k LEFT JOIN told ON true"


class NewKey(NamedTuple):
    """A key that is to be stored, and who makes it."""

    key: ApiKey
    name: str
    role: str
    project: str | None  # None: it reaches all projects
    expires_s: float | None  # seconds from now; None: it does not expire
    actor: str
    on_behalf_of: str = ""


def creating(new: NewKey) -> dict[str, Any]:
    """Returns the parameters of CREATE, also for a connection that is not a server's."""
    key, *_ = new
    fields = new._asdict() | {"id": key.id, "secret_sha256": key.sha256, "most": MOST_USABLE}
    del fields["key"]
    return fields


def _key(row: Sequence[Any]) -> Key:
    key = Key(*row)
    return key._replace(state=KeyState(key.state))


async def create(conn: Connection, new: NewKey) -> Key | None:
    """Stores a key. None: there are MOST_USABLE already, and nothing was stored."""
    found = await rows(conn, CREATE, creating(new))
    return _key(found[0]) if found else None


IN_ORDER: LiteralString = """
FROM api_keys k
ORDER BY k.created_at DESC, k.id
LIMIT 1001
"""
LIST = SHOWN + IN_ORDER


class Keys(NamedTuple):
    """Keys, newest first."""

    keys: list[Key]
    more: bool  # there are older ones


async def list_newest(conn: Connection) -> Keys:
    """Returns the newest keys, MOST_LISTED at most."""
    found = [_key(row) for row in await rows(conn, LIST)]
    return Keys(found[:MOST_LISTED], len(found) > MOST_LISTED)


OF_ID_OR_NAME: LiteralString = """
FROM api_keys k
WHERE k.id = %(which)s::text
   OR k.name = %(which)s::text
ORDER BY k.revoked_at IS NOT NULL, k.created_at DESC
LIMIT 10
"""
MEANT = SHOWN + OF_ID_OR_NAME


async def meant(conn: Connection, which: str) -> list[Key]:
    """Returns the keys with this id or name, ten at most, those that were not revoked first."""
    return [_key(row) for row in await rows(conn, MEANT, {"which": which})]


REVOKED: LiteralString = """
WITH revoked AS (
    UPDATE api_keys k
    SET revoked_at = clock_timestamp()
    WHERE k.id = %(id)s::text
      AND k.revoked_at IS NULL
    RETURNING k.*
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT k.revoked_at, 'KeyRevoked', k.id, k.id, %(actor)s::text,
           jsonb_strip_nulls(jsonb_build_object(
               'key_id', k.id,
               'name', k.name,
               'on_behalf_of', nullif(%(on_behalf_of)s::text, '')))
    FROM revoked k
), told AS (
    SELECT pg_notify('hodei_key', k.id)
    FROM revoked k
)
"""
REVOKE = REVOKED + SHOWN + "FROM revoked k LEFT JOIN told ON true"


async def revoke(conn: Connection, key_id: str, actor: str, on_behalf_of: str = "") -> Key | None:
    """Revokes a key by its id, and tells servers. None: there is none, or it was revoked before."""
    parameters = {"id": key_id, "actor": actor, "on_behalf_of": on_behalf_of}
    found = await rows(conn, REVOKE, parameters)
    return _key(found[0]) if found else None


# ── what servers check calls with ──


class Stored(NamedTuple):
    """What a server needs of a key to answer calls with it."""

    id: str
    name: str
    role: str
    project: str | None
    secret_sha256: bytes
    expires_in_s: float | None  # None: never
    usable: bool  # it was not revoked and has not expired


STORED = """
SELECT k.id, left(k.name, 200), left(k.role, 50), left(k.project, 200),
       substring(k.secret_sha256 FROM 1 FOR 64),
       CASE
           WHEN isfinite(k.expires_at)
           THEN extract(epoch FROM k.expires_at - clock_timestamp())::float8
       END,
       k.revoked_at IS NULL
           AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
FROM api_keys k
WHERE k.id = ANY (%(ids)s::text[])
"""


async def stored(conn: Connection, ids: Sequence[str]) -> dict[str, Stored]:
    """Returns those of the keys that there are, by their ids."""
    found = await rows(conn, STORED, {"ids": array(ids)})
    return {row[0]: Stored(*row) for row in found}


ANY = "SELECT EXISTS (SELECT FROM api_keys)"


async def any_exists(conn: Connection) -> bool:
    """Returns whether a key was ever made, also one that cannot be used any more."""
    found: bool = (await rows(conn, ANY))[0][0]
    return found


USED = """
UPDATE api_keys k
SET used_at = date_trunc('hour', clock_timestamp())
WHERE k.id = ANY (%(ids)s::text[])
  AND (k.used_at IS NULL OR k.used_at < date_trunc('hour', clock_timestamp()))
"""


async def mark_used(conn: Connection, ids: Sequence[str]) -> None:
    """Writes down that keys were used: a write an hour and key."""
    await execute(conn, USED, {"ids": array(ids)})
