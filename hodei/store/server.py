"""Servers as the database sees them: by their listeners' connections."""

from typing import NamedTuple

from hodei.store.database import Connection, rows


class Count(NamedTuple):
    servers: int
    connected_workers: int  # of all servers


COUNT = """
SELECT count(*), (SELECT count(*) FROM workers w WHERE w.connected)
FROM pg_stat_activity
WHERE application_name = 'hodei-server listener' AND datname = current_database()
"""


async def count(conn: Connection) -> Count:
    return Count(*(await rows(conn, COUNT))[0])


VERSION = "SELECT current_setting('server_version')"


async def database_version(conn: Connection) -> str:
    return str((await rows(conn, VERSION))[0][0]).split(" ")[0]
