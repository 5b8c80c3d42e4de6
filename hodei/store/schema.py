"""Applies schema.sql where it is missing. It reads first: on a complete schema it takes no lock."""

import asyncio
import functools
import random
from importlib import resources
from typing import LiteralString, NamedTuple

import psycopg
from loguru import logger

from hodei.domain.errors import Conflict, Unavailable
from hodei.store import catalog, large_tables, rights, sqlstate
from hodei.store.connecting import READ_ONLY, Connection, connect, in_words
from hodei.store.gaps import BY_HAND, Gap, gaps
from hodei.store.suitable import check_database, server_read_only
from hodei.store.untimed import untimed

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


def _ten(found: list[str], what: str) -> list[str]:
    more = len(found) - 10
    return [*found[:10], *([f"{more} more{what}"] if more > 0 else [])]


class Applied(NamedTuple):
    """What a database has of the schema. Version and revision 0: nothing."""

    version: int
    revision: int
    gaps: list[Gap]

    @property
    def whole(self) -> bool:
        """Whether this program can work on it, and nothing is left to mend but what is a person's.
        A newer revision will do: what it added does not disturb us."""
        stands = self.version == VERSION and self.revision >= REVISION
        return stands and all(gap.by_hand for gap in self.gaps)

    @property
    def serves(self) -> bool:
        """Whether all that a server calls is there, even if not all of it is as it must be."""
        stands = self.version == VERSION and self.revision >= REVISION
        return stands and all(gap.can_wait for gap in self.gaps)

    @property
    def findings(self) -> list[str]:
        """Names what is missing and what is otherwise than it must be, up to ten things of each: a
        schema that lacks its functions lacks twenty."""
        missing = [gap.words for gap in self.gaps if not gap.differs]
        others = [gap.words for gap in self.gaps if gap.differs]
        return [
            *([f"missing: {', '.join(_ten(missing, ''))}"] if missing else []),
            *_ten(others, " are not as this release makes them"),
        ]

    @property
    def advice(self) -> list[str]:
        """The findings, each with what is to be done."""
        return [
            line if line.endswith(BY_HAND) else f"{line}; run `hodei db apply`"
            for line in self.findings
        ]

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
        return Applied(0, 0, gaps(found, called_only=False))
    # Through JSON: the first revision had no such column, and a column may be gone.
    row = conn.execute(WHICH, {"version": VERSION}).fetchone()
    version, revision = row or (0, 0)
    missing = gaps(found, called_only=revision > REVISION)
    return Applied(version, revision, large_tables.marked(conn, missing))


# ── check ──


def check_whole(url: str) -> None:
    """Raises the reason why nobody can work on this database now: Conflict, Invalid, Unavailable."""
    with connect(url, NAME) as conn, in_words("the schema could not be checked"), untimed(conn):
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
SET LOCAL lock_timeout = '5s';
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);
SELECT pg_advisory_xact_lock(hashtext('hodei schema'))
"""


def apply_sync(url: str, *, to_serve: bool = False) -> str:
    """Applies schema.sql in one transaction if the schema is old or incomplete, and returns words
    for people. Conflict: it cannot be done. Unavailable: it cannot be done now.

    Several may come at once: they queue on an advisory lock, and the second one finds nothing to
    do. The lock time-out keeps a long query of somebody else from holding up all who wait behind
    our ALTER; the caller retries (see ensure). `to_serve`: a server asks, which needs the schema
    now. Where it serves, a database that is read-only will do, and what is only otherwise is warned
    of, once: to build an index anew locks its table for as long as that takes, and it may be
    somebody's who knows why."""
    with connect(url, NAME) as conn, in_words("schema.sql could not be applied"):
        with untimed(conn):
            check_database(conn)
            found = applied(conn)
            read_only = server_read_only(conn)
        if read_only:
            if to_serve and found.serves:
                return f"schema version {found} stands; {READ_ONLY}"
            raise Unavailable(READ_ONLY)
        _refuse_newer(found)
        words, left = _apply(conn, found, to_serve)
        words += _pass_live_leases(conn)
    if left and not to_serve:
        raise Conflict("; ".join([words, *left]))
    for line in left:
        _warn_once(line)
    return words


@functools.cache
def _warn_once(line: str) -> None:
    logger.warning("{}", line)


def _apply(conn: Connection, found: Applied, to_serve: bool) -> tuple[str, list[str]]:
    """Returns what was done and, a line for each, what is left as it is."""
    if not _will_do(found, to_serve):
        with untimed(conn, write=True):  # READ COMMITTED: behind the lock we see what another did
            conn.execute(SETTINGS.encode())
            found = applied(conn)
            _refuse_newer(found)
            if not _will_do(found, to_serve):
                left = _mend(conn, found, to_serve)
                words = f"applied schema version {VERSION}.{REVISION}"
                if found.revision == REVISION:
                    made = [gap.what for gap in found.gaps if not gap.can_wait and not gap.differs]
                    words += rights.granted_no_more(conn, made)
                return words, left
    return f"schema version {found} stands; nothing to do", found.advice


def _will_do(found: Applied, to_serve: bool) -> bool:
    return found.whole or (to_serve and found.serves)


def _refuse_newer(found: Applied) -> None:
    if found.version > VERSION:
        raise Conflict(found.newer)
    if found.revision > REVISION and not found.whole:
        raise Conflict(
            f"{'; '.join(found.findings)}; the database's schema is revision {found}, newer than"
            f" this program's {VERSION}.{REVISION}: run `hodei db apply` of the newer program"
        )


def _mend(conn: Connection, found: Applied, to_serve: bool) -> list[str]:
    """Makes what is missing or otherwise. schema.sql changes no table that stands, but of a
    database of this revision it is known what each table must have; to serve, what can wait there
    is left. Returns what is left, a line for each."""
    refused: dict[str, str] = {}
    waits = to_serve and found.revision == REVISION
    if found.revision == REVISION:
        if any(gap.what.startswith("column hodei_schema.") for gap in found.gaps):
            conn.execute("DELETE FROM hodei_schema")  # its one row is written anew
        for gap in found.gaps:
            if gap.before and not (waits and gap.can_wait):
                _alter(conn, gap, gap.before, refused)
    _run_schema_sql(conn, found, large_tables.without_indexes(text(), found.gaps if waits else []))
    for gap in applied(conn).gaps:
        if (statement := gap.after or gap.before) and not (waits and gap.can_wait):
            _alter(conn, gap, statement, refused)
    left = applied(conn)
    if any(not gap.differs and not (waits and gap.large) for gap in left.gaps):
        raise Conflict(
            f"schema.sql is not all of it: {'; '.join(left.findings)}; nothing was changed:"
            " another object may have the name"
        )
    if waits:
        return left.advice
    still = "it was made again, and is so still"
    return [
        gap.words if gap.by_hand else f"{gap.words} ({refused.get(gap.what, still)}){BY_HAND}"
        for gap in left.gaps
    ]


def _run_schema_sql(conn: Connection, found: Applied, statements: str) -> None:
    try:
        conn.execute(statements.encode())
    except (
        psycopg.errors.InvalidFunctionDefinition,  # another result
        psycopg.errors.WrongObjectType,  # a procedure with a function's name, a view with a table's
    ) as error:
        # PostgreSQL does not say of what, or in its hint alone.
        words = [f"schema.sql could not be applied: {error.diag.message_primary}", *found.findings]
        if hint := error.diag.message_hint:
            words.append(f"{hint.removesuffix('.')}, then repeat this and the GRANTs on it")
        raise Conflict("; ".join(words)) from error


def _alter(
    conn: Connection, gap: Gap, statement: psycopg.sql.Composed, refused: dict[str, str]
) -> None:
    """Runs a statement that mends. What is there and only otherwise stays if it cannot be mended,
    and PostgreSQL's reason is added to `refused`: rows do not fit, or others' objects need it."""
    try:
        with conn.transaction():
            conn.execute(statement)
    except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege):
        raise
    except psycopg.Error as error:
        if gap.differs:
            refused[gap.what] = sqlstate.primary(error)
            return
        if not isinstance(error, ROWS_DO_NOT_FIT):
            raise
        raise Conflict(
            f"{gap.what} is gone, and the rows that stand do not fit it"
            f" ({error.diag.message_primary}): mend them or restore a backup"
        ) from error


ROWS_DO_NOT_FIT = (
    psycopg.errors.IntegrityError,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedTable,
)


MOVE_LEASES: LiteralString = """
SELECT CASE WHEN has_function_privilege('hodei_pass_live_leases()', 'EXECUTE')
            THEN hodei_pass_live_leases() ELSE false END
"""


def _pass_live_leases(conn: Connection) -> str:
    """Moves the lease sequence past live leases; returns words if it had to. A role without the
    right is told so by `hodei db check`, and its server starts all the same."""
    with untimed(conn, write=True):
        conn.execute(b"SET LOCAL lock_timeout = '5s'")
        row = conn.execute(MOVE_LEASES).fetchone()
    return (
        "; the lease sequence was behind live leases and was moved past them, or one was used up"
        if row and row[0]
        else ""
    )


async def ensure(url: str) -> str:
    """Calls apply_sync in a thread, and again while locks are in the way. Unavailable: five times
    were not enough."""
    for attempt in range(5):
        try:
            return await asyncio.to_thread(apply_sync, url, to_serve=True)
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
