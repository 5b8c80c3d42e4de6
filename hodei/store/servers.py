"""What servers say of themselves, for people: hodei_servers has a row for each of them."""

import uuid
from datetime import datetime
from typing import NamedTuple

from psycopg.types.json import Jsonb

from hodei.store.database import Connection
from hodei.store.statements import brief_rows, rows

BEAT_EVERY_S = 5.0
"""Seconds after which a server renews its row."""

THERE_WITHIN_S = 20.0
"""A server whose row is older is not there any more."""

MOST_LISTED = 100
"""Servers that are listed, those that started first."""


class Self(NamedTuple):
    """What a server says of itself."""

    id: uuid.UUID  # of the process
    address: str  # on which it listens
    host: str
    version: str
    lost_after_s: float
    secret_keys: list[str] = []  # noqa: RUF012  ids of its keys; nobody changes it
    anonymous_role: str = "none"  # of calls without an API key


# A row that lies ahead was written before the clock was set back.
BEAT = """
WITH gone AS (
    SELECT s.id
    FROM hodei_servers s
    WHERE s.last_beat NOT BETWEEN clock_timestamp() - interval '1 hour'
                              AND clock_timestamp() + interval '1 hour'
      AND s.id <> %(id)s
    LIMIT 100
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM hodei_servers s
    USING gone g
    WHERE s.id = g.id
)
INSERT INTO hodei_servers (
    id, address, host, version, lost_after_s, certificate_expires_at, secret_keys,
    anonymous_role)
VALUES (
    %(id)s, %(address)s, %(host)s, %(version)s, %(lost_after_s)s, %(certificate_expires_at)s,
    %(secret_keys)s::jsonb, %(anonymous_role)s)
ON CONFLICT (id) DO UPDATE
SET last_beat = clock_timestamp(),
    certificate_expires_at = excluded.certificate_expires_at
"""


async def beat(conn: Connection, me: Self, certificate_expires_at: datetime | None = None) -> None:
    """Writes or renews a server's row, and deletes rows that were not renewed for an hour, 100 at
    most. `certificate_expires_at` is that of the certificate which is served now."""
    keys = Jsonb(me.secret_keys)
    parameters = {"certificate_expires_at": certificate_expires_at, "secret_keys": keys}
    await brief_rows(conn, BEAT, me._asdict() | parameters)


LEAVE = "DELETE FROM hodei_servers s WHERE s.id = %(id)s"


async def leave(conn: Connection, server_id: uuid.UUID) -> None:
    """Deletes the row of a server that ends."""
    await brief_rows(conn, LEAVE, {"id": server_id})


# Servers of a release before have no row: their listener is all that is known of them, and before
# revision 4 it does not say their id. Anybody may give a connection any name, so ids are compared
# as text.
LISTED = """
WITH listeners AS (
    SELECT nullif(substr(a.application_name, length('hodei-server listener ') + 1), '') AS id,
           max(a.backend_start) AS since
    FROM pg_stat_activity a
    WHERE a.application_name LIKE 'hodei-server listener%'
      AND a.datname = current_database()
    GROUP BY 1, CASE WHEN a.application_name = 'hodei-server listener' THEN a.pid END
), there AS (
    SELECT s.id::text AS id, s.address, s.host, s.version, s.lost_after_s, s.started_at,
           s.certificate_expires_at, s.anonymous_role
    FROM hodei_servers s
    WHERE s.last_beat BETWEEN clock_timestamp() - make_interval(secs => %(there_within_s)s)
                          AND clock_timestamp() + make_interval(secs => %(there_within_s)s)
), held AS (
    SELECT w.server_id::text AS id, count(*) AS workers
    FROM workers w
    WHERE w.connected
    GROUP BY 1
)
SELECT id,
       left(t.address, 300),
       left(t.host, 300),
       left(t.version, 50),
       coalesce(t.started_at, l.since),
       t.lost_after_s,
       coalesce(h.workers, 0),
       t.certificate_expires_at,
       left(t.anonymous_role, 50)
FROM there t
FULL JOIN listeners l USING (id)
LEFT JOIN held h USING (id)
ORDER BY coalesce(t.started_at, l.since), id
LIMIT %(most)s
"""


class Listed(NamedTuple):
    """A server that is there. None: it is of a release that does not say."""

    id: str | None
    address: str | None
    host: str | None
    version: str | None
    started_at: int | None  # microseconds since 1970; None: this role may not see it
    lost_after_s: float | None
    workers: int  # whose streams it holds
    certificate_expires_at: int | None  # microseconds since 1970; None: plain text
    anonymous_role: str | None


async def listed(conn: Connection) -> list[Listed]:
    """Returns the servers that are there, MOST_LISTED at most."""
    parameters = {"there_within_s": THERE_WITHIN_S, "most": MOST_LISTED}
    return [Listed(*row) for row in await rows(conn, LISTED, parameters)]


# As in LISTED, with what each says of its keys. A server of a release before has none.
WITHOUT_KEY = """
WITH listeners AS (
    SELECT DISTINCT
           nullif(substr(a.application_name, length('hodei-server listener ') + 1), '') AS id
    FROM pg_stat_activity a
    WHERE a.application_name LIKE 'hodei-server listener%'
      AND a.datname = current_database()
), there AS (
    SELECT s.id::text AS id, s.address, s.host, s.secret_keys
    FROM hodei_servers s
    WHERE s.last_beat BETWEEN clock_timestamp() - make_interval(secs => %(there_within_s)s)
                          AND clock_timestamp() + make_interval(secs => %(there_within_s)s)
)
SELECT coalesce(
           'server ' || nullif(left(t.address, 300), '') || ' on ' || left(t.host, 300),
           'server ' || id,
           'a server of an older release')
FROM there t
FULL JOIN listeners l USING (id)
WHERE NOT coalesce(t.secret_keys, '[]') ? %(key_id)s::text
ORDER BY 1
LIMIT 100
"""


async def without_key(conn: Connection, key_id: str) -> list[str]:
    """Returns, in words, the servers that are there and do not have a key of secrets, 100 at
    most."""
    parameters = {"there_within_s": THERE_WITHIN_S, "key_id": key_id}
    return [row[0] for row in await rows(conn, WITHOUT_KEY, parameters)]
