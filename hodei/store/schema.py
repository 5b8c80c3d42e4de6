"""Applies schema.sql where it is missing. It reads first: on a complete schema it takes no lock."""

import asyncio
import random
from importlib import resources
from typing import LiteralString, NamedTuple

import psycopg

from hodei.domain.errors import Conflict, Unavailable
from hodei.store import catalog, rights
from hodei.store.catalog import Gap
from hodei.store.connecting import READ_ONLY, Connection, connect, in_words

VERSION = 1
"""The schema's version: programs of another version refuse it."""

REVISION = 6
"""The schema's revision within a version: programs of neighbouring revisions run side by side."""

NAME = "hodei schema"
"""The application_name of our connections."""


def text() -> str:
    """Returns schema.sql without its BEGIN and COMMIT: it runs in a transaction of ours, in which
    more is done."""
    whole = resources.files("hodei.store").joinpath("schema.sql").read_text(encoding="utf-8")
    head, _, body = whole.partition("\nBEGIN READ WRITE;")
    return head + "\n" + body.removesuffix("COMMIT;\n")


class Applied(NamedTuple):
    """What a database has of the schema. Version and revision 0: nothing."""

    version: int
    revision: int
    gaps: list[Gap]

    @property
    def whole(self) -> bool:
        """Whether this program can work on it. A newer revision will do: what it added does not
        disturb us."""
        return self.version == VERSION and self.revision >= REVISION and not self.gaps

    @property
    def missing(self) -> str:
        """Names what is missing, up to ten things: a schema that lacks its functions lacks twenty."""
        shown = ", ".join(gap.words for gap in self.gaps[:10])
        return f"missing: {shown}" + (
            f" and {len(self.gaps) - 10} more" if len(self.gaps) > 10 else ""
        )

    @property
    def newer(self) -> str:
        """Words for a version beyond ours."""
        ours = f"{VERSION}.{REVISION}"
        return (
            f"the database's schema is version {self}, newer than this program's {ours}:"
            " upgrade Hodei"
        )

    def __str__(self) -> str:
        return f"{self.version}.{self.revision}"


WHICH: LiteralString = """
SELECT coalesce((to_jsonb(s) ->> 'version')::integer, %(version)s),
       coalesce((to_jsonb(s) ->> 'revision')::integer, 1)
FROM hodei_schema s
"""


def applied(conn: Connection) -> Applied:
    found = catalog.read(conn)
    if "hodei_schema" not in found["tables"]:
        return Applied(0, 0, catalog.gaps(found, called_only=False))
    # Through JSON: the first revision had no such column, and a column may be gone.
    row = conn.execute(WHICH, {"version": VERSION}).fetchone()
    version, revision = row or (0, 0)
    return Applied(version, revision, catalog.gaps(found, called_only=revision > REVISION))


# ── what a database has to be ──

DATABASE: LiteralString = """
SELECT current_database(), current_setting('server_encoding'),
       current_schema(), current_setting('search_path')
"""


def check_database(conn: Connection) -> None:
    """Refuses a database that cannot have our tables. Conflict: its encoding is not UTF-8, or there
    is no schema for them."""
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


# ── check ──


def check_whole(url: str) -> None:
    """Raises the reason why nobody can work on this database now: Conflict, Invalid, Unavailable."""
    with connect(url, NAME) as conn, in_words("the schema could not be checked"):
        check_database(conn)
        found = applied(conn)
        if found.version > VERSION:
            raise Conflict(found.newer)
        if not found.whole:
            raise Conflict(f"the database's schema ({found}) is not whole; run `hodei db apply`")


def lacking_rights(url: str) -> list[str]:
    """Returns the rights that a server's role needs and this role lacks, a line for each."""
    with connect(url, NAME) as conn, in_words("the rights of this role could not be checked"):
        return rights.lacking(conn)


# ── apply ──

# The settings at the top of schema.sql: PostgreSQL parses all of its text before it runs any of it,
# so they are set before, too.
SETTINGS: LiteralString = """
SET LOCAL standard_conforming_strings = on;
SET LOCAL quote_all_identifiers = off;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL lock_timeout = '5s';
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);
SELECT pg_advisory_xact_lock(hashtext('hodei schema'))
"""


def apply_sync(url: str, *, reading_will_do: bool = False) -> str:
    """Applies schema.sql in one transaction if the schema is old or incomplete, and returns words
    for people. Conflict: it cannot be done. Unavailable: it cannot be done now.

    Several may come at once: they queue on an advisory lock, and the second one finds nothing to
    do. The lock time-out keeps a long query of somebody else from holding up all who wait behind
    our ALTER; the caller retries (see ensure). `reading_will_do`: where the schema stands, a
    database that is read-only will do."""
    with connect(url, NAME) as conn, in_words("schema.sql could not be applied"):
        check_database(conn)
        found = applied(conn)
        if server_read_only(conn):
            if reading_will_do and found.whole:
                return f"schema version {found} stands; {READ_ONLY}"
            raise Unavailable(READ_ONLY)
        _refuse_newer(found)
        # Behind the lock we see what another one has done.
        conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        conn.read_only = False
        if found.whole:
            return f"schema version {found} stands; nothing to do{_pass_live_leases(conn)}"
        return _apply(conn) + _pass_live_leases(conn)


def _apply(conn: Connection) -> str:
    with conn.transaction():
        conn.execute(SETTINGS.encode())
        found = applied(conn)
        _refuse_newer(found)
        if found.whole:
            return f"schema version {found} stands; nothing to do"
        _mend(conn, found)
    return f"applied schema version {VERSION}.{REVISION}"


def _refuse_newer(found: Applied) -> None:
    if found.version > VERSION:
        raise Conflict(found.newer)
    if found.revision > REVISION and not found.whole:
        raise Conflict(
            f"{found.missing}; the database's schema is revision {found}, newer than this program's"
            f" {VERSION}.{REVISION}: run `hodei db apply` of the newer program"
        )


def _mend(conn: Connection, found: Applied) -> None:
    """Makes what is missing. schema.sql changes no table that stands, but of a database of this
    revision it is known what each table must have."""
    if found.revision == REVISION:
        if any(gap.words.startswith("column hodei_schema.") for gap in found.gaps):
            conn.execute("DELETE FROM hodei_schema")  # its one row is written anew
        for gap in found.gaps:
            if gap.before:
                _alter(conn, gap, gap.before)
    conn.execute(text().encode())
    for gap in applied(conn).gaps:
        if statement := gap.after or gap.before:
            _alter(conn, gap, statement)
    if (left := applied(conn)).gaps:
        raise Conflict(f"schema.sql is not all of it: {left.missing}; nothing was changed")


def _alter(conn: Connection, gap: Gap, statement: psycopg.sql.Composed) -> None:
    try:
        conn.execute(statement)
    except (
        psycopg.errors.IntegrityError,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.UndefinedTable,
    ) as error:
        raise Conflict(
            f"{gap.words} is gone, and the rows that stand do not fit it"
            f" ({error.diag.message_primary}): mend them or restore a backup"
        ) from error


MOVE_LEASES: LiteralString = """
SELECT CASE WHEN has_function_privilege('hodei_pass_live_leases()', 'EXECUTE')
            THEN hodei_pass_live_leases() ELSE false END
"""


def _pass_live_leases(conn: Connection) -> str:
    """Moves the lease sequence past live leases; returns words if it had to. A role without the
    right is told so by `hodei db check`, and its server starts all the same."""
    with conn.transaction():
        conn.execute(b"SET LOCAL lock_timeout = '5s'")
        row = conn.execute(MOVE_LEASES).fetchone()
    return (
        "; the lease sequence was behind live leases and was moved past them"
        if row and row[0]
        else ""
    )


async def ensure(url: str) -> str:
    """Calls apply_sync in a thread, and again while locks are in the way. Unavailable: five times
    were not enough."""
    for attempt in range(5):
        try:
            return await asyncio.to_thread(apply_sync, url, reading_will_do=True)
        except Unavailable as error:
            if not isinstance(
                error.__cause__, (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
            ):
                raise
            await asyncio.sleep((0.5 + random.random()) * (attempt + 1))  # noqa: S311
    raise Unavailable(
        "schema.sql could not be applied: other sessions hold locks on Hodei's tables;"
        " end them or try again later"
    )
