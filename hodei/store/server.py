"""Servers as the database sees them: by the connections of their listeners."""

import uuid
from typing import NamedTuple

from hodei.store.database import Connection
from hodei.store.statements import rows

LISTENER = "hodei-server listener"


def listener_name(server_id: uuid.UUID) -> str:
    """Returns the application_name of a server's listener: 58 of the 63 bytes that PostgreSQL
    keeps."""
    return f"{LISTENER} {server_id}"


# The listeners of revision 3 have no id in their name.
COUNT = """
SELECT count(*)
FROM pg_stat_activity
WHERE application_name LIKE 'hodei-server listener%'
  AND datname = current_database()
"""


async def count(conn: Connection) -> int:
    """Returns the number of servers that listen."""
    number: int = (await rows(conn, COUNT))[0][0]
    return number


class Live(NamedTuple):
    """A server that lives, by the id of its process."""

    id: str
    age_s: float  # of its listener
    workers: int  # whose streams it holds


# Ids are compared as text: anybody may give a connection any name. A role that may not see when a
# connection began gets an age of 1e9 s.
LIVE = """
WITH listeners AS (
    SELECT substr(a.application_name, length('hodei-server listener ') + 1) AS id,
           max(a.backend_start) AS since
    FROM pg_stat_activity a
    WHERE a.application_name LIKE 'hodei-server listener _%'
      AND a.datname = current_database()
    GROUP BY 1
), held AS (
    SELECT w.server_id::text AS id, count(*) AS workers
    FROM workers w
    WHERE w.connected
    GROUP BY 1
)
SELECT l.id,
       coalesce(extract(epoch FROM clock_timestamp() - l.since), 1e9)::float8,
       coalesce(h.workers, 0)
FROM listeners l
LEFT JOIN held h USING (id)
"""


async def live(conn: Connection) -> list[Live]:
    """Returns the servers that listen, and how many workers each of them holds."""
    return [Live(*row) for row in await rows(conn, LIVE)]


VERSION = "SELECT current_setting('server_version')"


async def database_version(conn: Connection) -> str:
    """Returns PostgreSQL's version, as 16.4."""
    return str((await rows(conn, VERSION))[0][0]).split(" ")[0]
