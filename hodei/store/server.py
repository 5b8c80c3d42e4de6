"""Servers as the database sees them: by their listeners' connections."""

import uuid
from typing import NamedTuple

from hodei.store.database import Connection
from hodei.store.statements import rows

LISTENER = "hodei-server listener"


def listener_name(server_id: uuid.UUID) -> str:
    """The application_name of a server's listener: 58 of the 63 bytes that PostgreSQL keeps."""
    return f"{LISTENER} {server_id}"


# Servers of the release before have no id in it.
COUNT = """
SELECT count(*)
FROM pg_stat_activity
WHERE application_name LIKE 'hodei-server listener%' AND datname = current_database()
"""


async def count(conn: Connection) -> int:
    number: int = (await rows(conn, COUNT))[0][0]
    return number


class Live(NamedTuple):
    """A server that lives, by the id of its process."""

    id: str
    age_s: float  # of its listener
    workers: int  # whose streams it holds


# Ids are compared as text: anybody may call a connection whatever they like. Who may not see when
# it began takes it for old.
LIVE = """
WITH listeners AS (
    SELECT substr(a.application_name, length('hodei-server listener ') + 1) AS id, max(a.backend_start) AS since
    FROM pg_stat_activity a
    WHERE a.application_name LIKE 'hodei-server listener _%' AND a.datname = current_database()
    GROUP BY 1
), held AS (
    SELECT w.server_id::text AS id, count(*) AS workers FROM workers w WHERE w.connected GROUP BY 1
)
SELECT l.id, coalesce(extract(epoch FROM clock_timestamp() - l.since), 1e9)::float8, coalesce(h.workers, 0)
FROM listeners l LEFT JOIN held h USING (id)
"""


async def live(conn: Connection) -> list[Live]:
    return [Live(*row) for row in await rows(conn, LIVE)]


VERSION = "SELECT current_setting('server_version')"


async def database_version(conn: Connection) -> str:
    return str((await rows(conn, VERSION))[0][0]).split(" ")[0]
