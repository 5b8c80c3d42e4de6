"""Servers as the database sees them: by their listeners' connections."""

from hodei.store.database import Connection, rows

COUNT = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hodei-server listener' AND datname = current_database()
"""


async def count(conn: Connection) -> int:
    found: int = (await rows(conn, COUNT))[0][0]
    return found


VERSION = "SELECT current_setting('server_version')"


async def database_version(conn: Connection) -> str:
    return str((await rows(conn, VERSION))[0][0]).split(" ")[0]
