"""Providers as callers see and change them; provider_configs.py has what servers do with them.

Each change writes its event in the statement that makes it."""

import uuid
from collections.abc import Sequence
from typing import Any, LiteralString, NamedTuple

from psycopg.types.json import Jsonb

from hodei.domain import provider_seen
from hodei.domain.provider_seen import Seen
from hodei.store.audit_events import AuditKind
from hodei.store.database import Connection
from hodei.store.provider_configs import LOOKED_AFTER, MOST_CONFIG, MOST_PROVIDERS
from hodei.store.statements import rows

MOST_LISTED = 1000

MOST_ROWS = 1000
"""Providers that there may be before one more is refused."""


class Shown(NamedTuple):
    """A row of provider_configs as it is shown. Times are microseconds since 1970."""

    id: uuid.UUID
    name: str
    provider_type: str
    config: str  # JSON
    status: str
    status_reason: str
    priority: int
    max_workers: int
    engine_id: str
    server_id: uuid.UUID | None  # that looks after it now
    failures: int
    failed_at: int | None
    created_at: int
    seen: Seen
    beyond: bool  # as many as servers look after come before it: nobody looks after it


SHOWN: LiteralString = (
    """
SELECT p.id,
       left(p.name, 200),
       left(p.provider_type, 200),
       left(p.config::text, %(most_config)s),
       left(p.status, 200),
       left(p.status_reason, 1000),
       p.priority,
       p.max_workers,
       left(coalesce(p.engine_id, ''), 200),
       CASE WHEN p.reconciler_until > clock_timestamp() THEN p.reconciler_id END,
       p.failures,
       p.failed_at,
       p.created_at,
       CASE WHEN octet_length(p.seen::text) <= %(most_config)s THEN p.seen END,
       upper(btrim(p.status)) IN ('ACTIVE', 'PAUSED', 'DEGRADED') AND l.id IS NULL
FROM provider_configs p
LEFT JOIN ("""
    + LOOKED_AFTER
    + """) l ON l.id = p.id
"""
)

BOUNDS = {"most_config": MOST_CONFIG, "most_providers": MOST_PROVIDERS}
"""Parameters of SHOWN."""

IN_ORDER: LiteralString = """
ORDER BY p.priority DESC, p.name, p.id
LIMIT %(most)s
"""

LIST = SHOWN + IN_ORDER


class Listed(NamedTuple):
    """Providers, MOST_LISTED at most."""

    providers: list[Shown]
    more: bool  # there are others


def _shown(row: tuple[Any, ...]) -> Shown:
    shown = Shown(*row)
    return shown._replace(seen=provider_seen.read(shown.seen))


async def list_all(conn: Connection) -> Listed:
    """Returns the providers, those of the highest priority first."""
    parameters = BOUNDS | {"most": MOST_LISTED + 1}
    found = [_shown(row) for row in await rows(conn, LIST, parameters)]
    return Listed(found[:MOST_LISTED], len(found) > MOST_LISTED)


# The dashes of an id do not count: what was copied from a table may begin or end at any of them.
OF_NAME_OR_ID: LiteralString = """
WHERE p.name = %(which)s
   OR p.id::text = lower(%(which)s)
   OR (%(first)s AND starts_with(replace(p.id::text, '-', ''), %(part)s))
   OR (%(last)s AND right(replace(p.id::text, '-', ''), length(%(part)s)) = %(part)s)
ORDER BY p.name = %(which)s DESC, p.id
LIMIT 11
"""

MEANT = SHOWN + OF_NAME_OR_ID


async def meant(conn: Connection, which: str, part: str, *, first: bool, last: bool) -> list[Shown]:
    """Returns the providers of this name or id, and those whose id begins (`first`) or ends (`last`)
    with `part`, hexadecimal digits without dashes: 11 at most, those of the name first."""
    parameters = BOUNDS | {"which": which, "part": part, "first": first, "last": last}
    return [_shown(row) for row in await rows(conn, MEANT, parameters)]


STORY: LiteralString = """
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT clock_timestamp(), %(kind)s::text, c.id::text, c.id::text, %(actor)s::text,
           jsonb_strip_nulls(jsonb_build_object(
               'provider_id', c.id,
               'name', left(c.name, 200),
               'status', left(c.status, 200),
               'on_behalf_of', nullif(%(on_behalf_of)s::text, '')))
    FROM changed c
)
SELECT c.id
FROM changed c
"""

ADDED: LiteralString = """
WITH changed AS (
    INSERT INTO provider_configs (name, provider_type, config, priority, max_workers)
    SELECT %(name)s::text, %(provider_type)s::text, %(config)s::jsonb, %(priority)s::integer,
           %(max_workers)s::integer
    WHERE NOT EXISTS (SELECT FROM provider_configs p WHERE p.name = %(name)s)
      AND (SELECT count(*) < %(most)s FROM provider_configs p)
    RETURNING id, name, status"""

ADD = ADDED + STORY


class Who(NamedTuple):
    """Who makes a change, for its event."""

    actor: str
    on_behalf_of: str = ""


class New(NamedTuple):
    """A provider to add; its fields are checked."""

    name: str
    provider_type: str
    config: dict[str, Any]
    priority: int
    max_workers: int


async def add(conn: Connection, new: New, who: Who) -> uuid.UUID | None:
    """Adds a provider. None: the name is taken, or there are MOST_ROWS."""
    parameters = {
        **new._asdict(),
        "config": Jsonb(new.config),
        "most": MOST_ROWS,
        "kind": AuditKind.PROVIDER_ADDED,
        **who._asdict(),
    }
    found: Sequence[Any] = await rows(conn, ADD, parameters)
    return found[0][0] if found else None


PAUSED: LiteralString = """
WITH changed AS (
    UPDATE provider_configs p
    SET status = 'PAUSED',
        status_reason = '',
        updated_at = clock_timestamp()
    WHERE p.id = %(provider)s
    RETURNING p.id, p.name, p.status"""

PAUSE = PAUSED + STORY

RESUMED: LiteralString = """
WITH changed AS (
    UPDATE provider_configs p
    SET status = 'ACTIVE',
        status_reason = '',
        failures = 0,
        failed_at = NULL,
        seen = CASE WHEN jsonb_typeof(p.seen) = 'object' THEN p.seen - 'failure' ELSE '{}' END,
        updated_at = clock_timestamp()
    WHERE p.id = %(provider)s
    RETURNING p.id, p.name, p.status"""

RESUME = RESUMED + STORY

OTHER_ENGINE: LiteralString = """
WITH changed AS (
    UPDATE provider_configs p
    SET engine_id = NULL,
        status_reason = '',
        updated_at = clock_timestamp()
    WHERE p.id = %(provider)s
    RETURNING p.id, p.name, p.status"""

ADOPT_ENGINE = OTHER_ENGINE + STORY

REMOVED: LiteralString = """
WITH changed AS (
    DELETE FROM provider_configs p
    WHERE p.id = %(provider)s
    RETURNING p.id, p.name, p.status"""

REMOVE = REMOVED + STORY


async def _change(
    conn: Connection, statement: LiteralString, kind: AuditKind, provider_id: uuid.UUID, who: Who
) -> bool:
    parameters = {"provider": provider_id, "kind": kind, **who._asdict()}
    return bool(await rows(conn, statement, parameters))


async def pause(conn: Connection, provider_id: uuid.UUID, who: Who) -> bool:
    """The provider makes no workers, until `resume`. False: it is gone."""
    return await _change(conn, PAUSE, AuditKind.PROVIDER_PAUSED, provider_id, who)


async def resume(conn: Connection, provider_id: uuid.UUID, who: Who) -> bool:
    """The provider makes workers, as if none had failed. False: it is gone."""
    return await _change(conn, RESUME, AuditKind.PROVIDER_RESUMED, provider_id, who)


async def adopt_engine(conn: Connection, provider_id: uuid.UUID, who: Who) -> bool:
    """The provider takes the engine that answers next. False: it is gone."""
    return await _change(conn, ADOPT_ENGINE, AuditKind.PROVIDER_ENGINE_ADOPTED, provider_id, who)


async def remove(conn: Connection, provider_id: uuid.UUID, who: Who) -> bool:
    """Deletes the row. False: it is gone."""
    return await _change(conn, REMOVE, AuditKind.PROVIDER_REMOVED, provider_id, who)
