"""What a database has to be before it can have our tables."""

from typing import LiteralString

from hodei.domain.errors import Conflict
from hodei.store.connecting import Connection

DATABASE: LiteralString = """
SELECT current_database(), current_setting('server_encoding'),
       current_schema(), current_setting('search_path')
"""


def check_database(conn: Connection) -> None:
    """Refuses a database that cannot have our tables. Conflict: its encoding is not UTF-8, or there
    is no schema for them, or one that not every role finds by its name."""
    row = conn.execute(DATABASE).fetchone()
    # Values come as bytes where PostgreSQL does not know what encoding they are in.
    name, encoding, schema, path = (
        v.decode(errors="replace") if isinstance(v, bytes) else v for v in row or ()
    )
    if encoding != "UTF8":
        raise Conflict(
            f'the encoding of database "{name}" is {encoding}, and Hodei needs UTF8:'
            " CREATE DATABASE … ENCODING 'UTF8'"
        )
    if schema is None:
        raise Conflict(
            f'no schema of the search_path ({path}) exists in database "{name}",'
            " or none that this role may use: create it first"
        )
    if schema == "$user":
        raise Conflict(
            "the first schema of the search_path has the name $user, by which PostgreSQL finds"
            " another schema for each role: put Hodei into one of another name"
        )


# The default_transaction_read_only of a role or a database does not count: our transaction is READ
# WRITE. Where it is set for the whole server, an operator has decided so (a disk is full).
SERVER_READ_ONLY: LiteralString = """
SELECT pg_is_in_recovery() OR EXISTS (
    SELECT FROM pg_settings s
    WHERE s.name = 'default_transaction_read_only' AND s.setting = 'on'
      AND s.source IN ('configuration file', 'command line'))
"""


def server_read_only(conn: Connection) -> bool:
    row = conn.execute(SERVER_READ_ONLY).fetchone()
    return bool(row and row[0])
