"""What an error of PostgreSQL means: its SQLSTATE tells, never its class or its words.

There are three kinds. The database cannot serve now (Unavailable: the same call may succeed later).
The connection is stale, or other transactions were in the way (the call is run again). A row is at
fault (its sender is told). PostgreSQL's DETAIL quotes rows, values of environments among them: it
is never shown."""

import psycopg

from hodei.domain.errors import Locked, Unavailable
from hodei.store import of_a_function

READ_ONLY = "25006"
LOCKED = "55P03"
MISSING_RIGHT = "42501"
CANCELLED = "57014"

STALE = ("26000", "42P05")
"""States of a connection whose prepared statements are not what the driver believes."""

REPLANNED = ("0A000", "RevalidateCachedQuery")
"""State and place of the error for a statement that was planned for another form of a table. (The
state alone means anything that PostgreSQL does not do.)"""

IN_THE_WAY = ("40001", "40P01")
"""States in which other transactions were in the way. All of this one was taken back."""

USED_UP = "2200H"
MISSING = ("42P01", "42883", "42703", "42704", "42P10")
"""States in which a table, function, column, key (of an ON CONFLICT) or other object of ours is
missing."""

NO_VALUE = "23502"

OUR_TIME_OUT = "our own time-out has ended the statement"
"""The note that statements.py adds to such an error (BaseException.add_note)."""

WORDS = {
    READ_ONLY: "the database is read-only",
    LOCKED: "another transaction holds a lock that this call needs",
    MISSING_RIGHT: "the database role of this server lacks a right; `hodei db check` names it",
    "55000": "an object of the database does not let this be done; `hodei db check` may say why",
    CANCELLED: "the database cancelled the statement (a statement_timeout, or an operator)",
    "57P01": "the database is shutting down",
    "57P02": "the database has crashed and starts again",
    "57P03": "the database is starting up or shutting down",
    "57P05": "the database ended an idle connection",
    "53100": "the database's disk is full",
    "53200": "the database is out of memory",
    "53300": "the database has no connection left for this server",
}

CLASSES = {
    "08": "the connection to the database failed",
    "25": "the database's transaction cannot do this now",
    "40": "other transactions were in the way",
    "53": "the database is out of resources",
    "55": "an object of the database is in use",
    "57": "the database was interrupted by an operator",
    "58": "the database's system failed",
}


def primary(error: BaseException) -> str:
    """Returns an error's first line, without PostgreSQL's DETAIL."""
    words = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return words or (str(error).strip().splitlines() or [type(error).__name__])[0]


def function_of_others(error: BaseException | None, *, also_sql: bool = True) -> str:
    """Returns the name of somebody's function that ran when PostgreSQL met this error; '': none."""
    if isinstance(error, Locked):
        error = error.__cause__
    context = error.diag.context if isinstance(error, psycopg.Error) else None
    return of_a_function.function_of_others(context or "", also_sql=also_sql)


def is_of_a_trigger(error: BaseException) -> bool:
    """Returns whether somebody's trigger refused a row: whatever its SQLSTATE says, the database can
    serve, and so can other rows. Not where PostgreSQL itself met a lock, a deadlock, a time-out or a
    full disk while the trigger ran: the same row may pass later."""
    if not isinstance(error, psycopg.Error) or not function_of_others(error, also_sql=False):
        return False
    raised = error.diag.source_function == "exec_stmt_raise"
    return raised or (error.sqlstate or "")[:2] not in ("25", "40", "53", "55", "57", "58")


def _is_met_by_others(error: psycopg.Error) -> bool:
    """Returns whether the error may be of one row that takes too long, for which others must not
    wait: PostgreSQL cancelled the statement, or had no resources, while a function of somebody ran;
    or our time-out has ended it, as a constraint may call what PostgreSQL has itself."""
    state = (error.sqlstate or "")[:2]
    met = error.sqlstate == CANCELLED or state in ("40", "53", "55")
    ended_by_us = OUR_TIME_OUT in getattr(error, "__notes__", ())
    return ended_by_us or (met and bool(function_of_others(error)))


def unavailable(error: BaseException) -> Unavailable | None:
    """Returns the error in words where the database cannot serve now; None where a row or a program
    is at fault."""
    if not isinstance(error, psycopg.Error) or is_of_a_trigger(error):
        return None
    state = error.sqlstate or ""
    words = WORDS.get(state) or CLASSES.get(state[:2])
    if words:
        kind = Locked if is_lock(error) or _is_met_by_others(error) else Unavailable
        return kind(f"{words} ({state}: {primary(error)})")
    if is_stale(error):
        return Unavailable(f"the connection to the database was stale ({state}); try again")
    if not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Unavailable(f"the database is not available: {primary(error)}")
    return None


def is_missing(error: BaseException) -> bool:
    """Returns whether an object of ours is missing. A sequence that was dropped with the default that
    it gave to events leaves them without a number."""
    if not isinstance(error, psycopg.Error) or is_of_a_trigger(error):
        return False
    if error.sqlstate == NO_VALUE:
        table = error.diag.table_name or ""
        return error.diag.column_name == "id" and table.startswith("domain_events")
    return error.sqlstate in MISSING


def is_lost(error: BaseException) -> bool:
    """Returns whether the connection ended under the call, so that it is not known what was done."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    if is_of_a_trigger(error):
        return False
    state = error.sqlstate or ""
    return not state or state[:2] == "08" or state in ("57P01", "57P02", "57P05")


def is_stale(error: BaseException) -> bool:
    """Returns whether the connection is at fault, and not the statement: nothing was done, and
    another connection may succeed."""
    if not isinstance(error, psycopg.Error) or is_of_a_trigger(error):
        return False
    return error.sqlstate in STALE or (error.sqlstate, error.diag.source_function) == REPLANNED


def is_lock(error: BaseException | None) -> bool:
    """Returns whether a lock was in the way for as long as the statement was to wait for one."""
    return getattr(error, "sqlstate", None) == LOCKED


def is_slow(error: BaseException | None) -> bool:
    """Returns whether a row counts as locked because somebody's function for it ran into a time-out."""
    cause = error.__cause__ if isinstance(error, Locked) else None
    return getattr(cause, "sqlstate", None) == CANCELLED


def is_of_no_function(error: object) -> bool:
    """Returns whether our time-out has ended the statement and no function of somebody ran: it may
    be for a row, or because the database is too slow."""
    cause = error.__cause__ if isinstance(error, Unavailable) else None
    slow = OUR_TIME_OUT in getattr(cause, "__notes__", ())
    return slow and not function_of_others(cause)


def is_missing_right(error: BaseException | None) -> bool:
    """Returns whether the role of the connection lacks a right."""
    return getattr(error, "sqlstate", None) == MISSING_RIGHT


def of_a_row(error: BaseException) -> bool:
    """Returns whether PostgreSQL, or somebody's trigger, refused a row: no program is at fault."""
    if not isinstance(error, psycopg.Error):
        return False
    return is_of_a_trigger(error) or (error.sqlstate or "")[:2] in ("21", "22", "23", "P0")
