"""The way to PostgreSQL: a small fixed pool, a bound on every call, one translation of driver
errors, and the listener.

Nothing here leaves state in a session, so that a transaction pooler may stand between; only the
listener needs a connection of its own."""

import asyncio
import functools
import random
import re
import select
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString, Protocol, TypeVar

import psycopg
import psycopg_pool
from loguru import logger
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import TupleRow

from hodei.domain.errors import HodeiError, Unavailable
from hodei.store import sqlstate, times

__all__ = ["times"]  # imported for its effect: every connection reads times as integers

Connection = AsyncConnection[TupleRow]
T = TypeVar("T")

CALL_TIMEOUT_S = 15.0
"""Longest that one call may take, waiting for a connection included; the driver then cancels it in
PostgreSQL and, where that is not answered within 10 s, closes the connection."""

SOCKET: dict[str, Any] = {
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""Of every connection. A database host that vanished is noticed within 15 s (milliseconds in the
last one). The encoding is ours, not the database's: else the driver would refuse text that
PostgreSQL could have refused row by row."""

TROUBLE = (Unavailable, psycopg.Error)
"""What a service that must not end waits out: the database is away, or refuses one statement (a row
changed by hand)."""

POOL_SIZE = 6
"""Connections of one server besides the listener's. At most three are for whoever calls
(rpc/limits.py); claims, creates, results, logs and heartbeats have the others whatever clients do,
and these three as well while nobody calls."""


MOST_RUNS = POOL_SIZE + 2
"""How often a call is run when connections turn out stale or others are in the way: each connection
of the pool may be stale."""


class Runs(Protocol):
    """A way to the database: the pool itself, or what of it whoever calls may have
    (rpc/limits.py)."""

    async def run(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        idempotent: bool = False,
    ) -> T: ...


class Database:
    """The pool of one server. `heal` is awaited when an object of the schema turns out to be gone
    (the guide's clean script); then the call runs again."""

    def __init__(
        self, url: str, *, prepare: bool = True, heal: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._heal = heal
        self._healing = asyncio.Lock()
        self._healed = 0
        self.pool: psycopg_pool.AsyncConnectionPool[Connection] = psycopg_pool.AsyncConnectionPool(
            url,
            min_size=1,
            max_size=POOL_SIZE,
            open=False,
            timeout=10.0,
            check=_still_open,
            kwargs={
                "autocommit": True,
                "application_name": "hodei-server",
                "prepare_threshold": 5 if prepare else None,
                **SOCKET,
            },
        )

    async def __aenter__(self) -> "Database":
        await self.pool.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.pool.close(timeout=5.0)

    async def run(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        idempotent: bool = False,
    ) -> T:
        """Does one piece of work on a connection; each statement is a transaction of its own unless
        `work` opens one.

        It is run again, on another connection, where nothing of it was done: the connection was
        stale, other transactions were in the way, an object of the schema was gone and is healed.
        And, if it is `idempotent`, where its connection was lost in the middle. Unavailable: the
        database cannot serve now. Errors of rows come as psycopg.Error."""
        for runs_left in reversed(range(MOST_RUNS)):
            healed = self._healed
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._once(work)
            except TimeoutError as error:
                raise Unavailable("the database did not answer in time; try again") from error
            except (psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as error:
                state = getattr(error, "sqlstate", None)
                if (
                    state in sqlstate.GONE
                    and self._heal
                    and healed == self._healed
                    and runs_left > MOST_RUNS - 3
                ):
                    await self._mend(healed)
                elif runs_left and state in sqlstate.STALE:
                    continue
                elif runs_left and state in sqlstate.IN_THE_WAY:
                    await asyncio.sleep(random.uniform(0.002, 0.02))  # noqa: S311
                elif runs_left == MOST_RUNS - 1 and idempotent and sqlstate.is_lost(error):
                    continue
                elif unavailable := sqlstate.unavailable(error):
                    raise unavailable from error
                else:
                    raise
        raise AssertionError("unreachable")

    async def _once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """A connection on which anything failed is closed: a pipeline that ends in the middle
        leaves the driver believing in prepared statements that PostgreSQL has never parsed."""
        async with self.pool.connection() as conn:
            try:
                return await work(conn)
            except HodeiError:
                raise
            except BaseException:
                await conn.close()
                raise

    async def _mend(self, seen: int) -> None:
        """Once for all calls that found the same gap."""
        async with self._healing:
            if seen == self._healed and self._heal:
                logger.warning("an object of Hodei's schema is gone; applying schema.sql again")
                await self._heal()
                self._healed += 1

    async def transact(
        self, work: Callable[[Connection], Awaitable[T]], *, timeout_s: float = CALL_TIMEOUT_S
    ) -> T:
        """As run, for several statements in one transaction. `work` must not await anything but
        this connection."""

        async def transaction(conn: Connection) -> T:
            async with conn.transaction():
                return await work(conn)

        return await self.run(transaction, timeout_s=timeout_s)


async def _still_open(conn: Connection) -> None:
    """Before a connection is used: whether PostgreSQL or a pooler ended it while it was idle. It
    costs no round trip: an end, or a word before it, waits in the socket. OperationalError: it is
    over, and the pool takes another."""
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    for _ in range(3):
        if not poll.poll(0):
            return
        conn.pgconn.consume_input()  # raises at the end of the stream
    raise psycopg.OperationalError("the connection was ended while it was idle")


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Driver errors as ours: what may pass by itself becomes Unavailable; an error of a row, or a
    bug, stays what it is."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable("the database did not answer in time; try again") from error
    except (psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as error:
        if unavailable := sqlstate.unavailable(error):
            raise unavailable from error
        raise


async def listen(
    url: str, channels: tuple[LiteralString, ...], hear: Callable[[str, str], None], name: str
) -> None:
    """Calls hear(channel, payload) for each notification; ends only with an error. hear('', '')
    says that the listener stands anew.

    A half-open connection is found by a SELECT whenever 10 s pass without a word.
    """
    async with await AsyncConnection.connect(
        url, autocommit=True, application_name=name, **SOCKET
    ) as conn:
        for channel in channels:
            await conn.execute(b"LISTEN " + channel.encode())
        hear("", "")
        while True:
            async for notice in conn.notifies(timeout=10.0):
                hear(notice.channel, notice.payload)
            async with asyncio.timeout(5.0):
                await conn.execute(b"SELECT 1")


@functools.cache
def numbered(statement: str) -> tuple[str, tuple[str, ...]]:
    """With PostgreSQL's own $1, $2 in place of %(name)s, and the names in that order: the driver
    would parse a long statement each time."""
    names: dict[str, int] = {}
    text = re.sub(
        r"%\((\w+)\)s", lambda match: f"${names.setdefault(match[1], len(names) + 1)}", statement
    )
    return text, tuple(names)


def array(values: Sequence[object]) -> str:
    """An array as PostgreSQL writes it, of no type until the statement's cast names it. The driver
    would bind a list as int2[], int4[] or text[] by what is in it, and each combination is another
    statement to PostgreSQL, to be planned anew."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return "{" + str(list(values))[1:-1] + "}"
    if kinds == {type(None)}:
        return "{" + ",".join(["NULL"] * len(values)) + "}"
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def arrays(fields: Sequence[str], records: Sequence[tuple[object, ...]]) -> dict[str, object]:
    """Records as a statement's parameters: an array for each field."""
    return {
        field: array(column)
        for field, column in zip(fields, zip(*records, strict=True), strict=True)
    }


class Blobs(list[bytes]):
    """A bytea[] parameter. The driver would write each byte of a list of bytes as text, up to five
    for one."""


class _BlobsDumper(Dumper):
    format = Format.BINARY
    oid = psycopg.adapters.types["bytea"].array_oid

    def dump(self, blobs: Sequence[bytes]) -> bytes:
        """As PostgreSQL sends an array: dimensions, no nulls, element type; length and first index;
        then each with its length."""
        head = struct.pack(">iiIii", 1, 0, psycopg.adapters.types["bytea"].oid, len(blobs), 1)
        return head + b"".join(
            part for blob in blobs for part in (len(blob).to_bytes(4, "big"), blob)
        )


psycopg.adapters.register_dumper(Blobs, _BlobsDumper)


# The plan that a small table gets must not flip when it is large, nor one made while it was empty:
# statistics say so of a queue whenever a vacuum has found it drained. Every hot statement names the
# rows that it wants of each growing table (`= ANY (…)`), so that an index finds them whatever the
# planner believes, and joins them as a hash: its cost is that of the batch, not of the table. (IS
# NOT DISTINCT FROM compares what another index would offer in order: the planner would walk it.)
# Before PostgreSQL 18 what is switched off and yet used counts as dear, and dear statements would
# be compiled, for half a second each. A statement for many rows waits 100 ms at most for a lock
# that somebody else's transaction holds on one of them; then that one is looked for
# (store/halves.py), and the others go on.
KEEP_THE_PLAN = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_nestloop', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true),
       set_config('lock_timeout', '100ms', true), set_config('array_nulls', 'on', true)
"""

Call = tuple[LiteralString, dict[str, Any]]
"""A statement and its parameters."""


async def guarded_rows(conn: Connection, *calls: Call) -> list[list[TupleRow]]:
    """As rows, of each call, under KEEP_THE_PLAN: one round trip and one transaction, to which the
    settings are local. PostgreSQL makes one of what a pipeline sends before its end; to say BEGIN
    and COMMIT as well would take as long as the statements themselves."""
    cursors = []
    async with conn.pipeline():
        await conn.execute(KEEP_THE_PLAN)
        for statement, parameters in calls:
            cursors.append(await execute(conn, statement, parameters))
    return [await cursor.fetchall() for cursor in cursors]


BRIEFLY = "SELECT set_config('lock_timeout', '100ms', true), set_config('array_nulls', 'on', true)"


async def brief_rows(
    conn: Connection, statement: LiteralString, parameters: dict[str, Any]
) -> list[TupleRow]:
    """As rows, of a statement over the rows of many that is not hot: it waits 100 ms at most for a
    lock (Locked)."""
    async with conn.pipeline():
        await conn.execute(BRIEFLY)
        cursor = await execute(conn, statement, parameters)
    return await cursor.fetchall() if cursor.description else []


async def rows(
    conn: Connection, statement: LiteralString, parameters: dict[str, Any] | None = None
) -> list[TupleRow]:
    return await (await execute(conn, statement, parameters or {})).fetchall()


async def execute(
    conn: Connection, statement: LiteralString, parameters: dict[str, Any]
) -> AsyncRawCursor[TupleRow]:
    text, names = numbered(statement)
    cursor = AsyncRawCursor(conn)
    await cursor.execute(text.encode(), [parameters[name] for name in names], binary=True)
    return cursor
