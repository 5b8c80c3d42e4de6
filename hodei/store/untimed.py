"""Transactions that no time-out of the database or the role ends."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import LiteralString, ParamSpec, TypeVar

import psycopg
from psycopg import pq

from hodei.domain.errors import Unavailable
from hodei.store.connecting import Connection

P = ParamSpec("P")
T = TypeVar("T")

# In one message, of which only the first three statements run under the role's time-outs; none of
# them reads a catalog, which takes a millisecond on a new connection. A transaction_timeout, which
# PostgreSQL has from 17 on, ends the connection, and not the statement alone: it goes first.
BEGIN: LiteralString = """
BEGIN ISOLATION LEVEL READ COMMITTED{mode};
{untimed}
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL quote_all_identifiers = off
"""

BEGINNINGS = 100
"""Times that a transaction is begun under a role's time-out that may be too short even for that."""

_ENDED_UNTOLD = "the connection ended as a transaction began, and did not say why"
"""Where PostgreSQL is busy, what it says of a transaction_timeout may be lost with the connection."""


def again_where_timed_out(act: Callable[P, T]) -> Callable[P, T]:
    """Has a transaction of ours run again, on another connection, where a transaction_timeout of the
    role ended it before it could be turned off: nothing was done."""

    @functools.wraps(act)
    def run(*args: P.args, **named: P.kwargs) -> T:
        for _ in range(BEGINNINGS - 1):
            try:
                return act(*args, **named)
            except Unavailable as error:
                if getattr(error.__cause__, "sqlstate", None) != "25P04":
                    raise
        return act(*args, **named)

    return run


@contextmanager
def untimed(conn: Connection, *, write: bool = False) -> Iterator[None]:
    """A transaction (within another one a part of it), whatever the settings of the database or the
    role are: names come without quotes, and no time-out ends it. `write`: also where transactions
    are read-only by default."""
    if conn.info.transaction_status != pq.TransactionStatus.IDLE:
        with conn.transaction():
            yield
        return
    _begin(conn, " READ WRITE" if write else "")
    try:
        yield
    except BaseException:
        if not conn.closed:
            conn.rollback()
        raise
    conn.commit()


def _begin(conn: Connection, mode: LiteralString) -> None:
    has_it = conn.info.server_version >= 170000
    untimed: LiteralString = "SET LOCAL transaction_timeout = 0;" if has_it else ""
    for left in reversed(range(BEGINNINGS)):
        try:
            if conn.info.transaction_status != pq.TransactionStatus.IDLE:
                conn.execute(b"ROLLBACK")
            conn.execute(BEGIN.format(mode=mode, untimed=untimed).encode())
        except psycopg.errors.QueryCanceled:
            if not left:
                raise
        except psycopg.OperationalError as error:
            if has_it and conn.closed and error.sqlstate is None:
                raise psycopg.errors.TransactionTimeout(_ENDED_UNTOLD) from error
            raise
        else:
            return
