"""The way to PostgreSQL: a small fixed pool, a bound on every call, one translation of driver errors, and the listener.

Nothing here leaves state in a session, so that a transaction pooler may stand between; only the listener needs a connection of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, LiteralString, TypeVar

import psycopg
import psycopg_pool
from loguru import logger
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from hodei.domain.errors import Unavailable

Connection = AsyncConnection[TupleRow]
T = TypeVar("T")

CALL_TIMEOUT_S = 15.0
"""Longest that one call may take, waiting for a connection included; the driver then cancels it in PostgreSQL and, where that is not
answered within 10 s, closes the connection."""

SOCKET: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""A database host that vanished is noticed within 15 s (milliseconds in the last one)."""

TROUBLE = (Unavailable, psycopg.Error)
"""What a service that must not end waits out: the database is away, or refuses one statement (a row changed by hand)."""

POOL_SIZE = 6
"""Connections of one server besides the listener's: claims, results, logs, heartbeats, and two for everybody who asks."""


class Database:
    """The pool of one server. `heal` is awaited when a table turns out to be gone (the guide's clean script), then the call runs again."""

    def __init__(self, url: str, *, prepare: bool = True, heal: Callable[[], Awaitable[None]] | None = None) -> None:
        self._heal = heal
        self.pool: psycopg_pool.AsyncConnectionPool[Connection] = psycopg_pool.AsyncConnectionPool(
            url,
            min_size=1,
            max_size=POOL_SIZE,
            open=False,
            timeout=10.0,
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

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """Does one piece of work that is a single statement (autocommit: the statement is the transaction)."""
        for attempt in (1, 2):
            try:
                async with translated(), asyncio.timeout(timeout_s), self.pool.connection() as conn:
                    return await work(conn)
            except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction):
                if attempt == 2 or self._heal is None:
                    raise
                logger.warning("a table of Hodei is gone; applying schema.sql again")
                await self._heal()
        raise AssertionError("unreachable")

    async def transact(self, work: Callable[[Connection], Awaitable[T]], *, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """As run, for several statements in one transaction. `work` must not await anything but this connection."""

        async def transaction(conn: Connection) -> T:
            async with conn.transaction():
                return await work(conn)

        return await self.run(transaction, timeout_s=timeout_s)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Driver errors as ours: what may pass by itself becomes Unavailable; a bug stays what it is."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable("the database did not answer in time; try again") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction):
        raise
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as error:
        raise Unavailable(f"the database is not available: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


async def listen(url: str, channels: tuple[LiteralString, ...], hear: Callable[[str, str], None]) -> None:
    """Calls hear(channel, payload) for each notification; ends only with an error. hear('', '') says that the listener stands anew.

    A half-open connection is found by a SELECT whenever 10 s pass without a word.
    """
    async with await AsyncConnection.connect(url, autocommit=True, application_name="hodei-server listener", **SOCKET) as conn:
        for channel in channels:
            await conn.execute(b"LISTEN " + channel.encode())
        hear("", "")
        while True:
            async for notice in conn.notifies(timeout=10.0):
                hear(notice.channel, notice.payload)
            async with asyncio.timeout(5.0):
                await conn.execute(b"SELECT 1")


# The plan that a small table gets must not flip when it is large, nor one cached while it was empty: the claim walks its index in order.
KEEP_THE_PLAN = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
"""


async def guarded_rows(conn: Connection, statement: LiteralString, parameters: dict[str, Any]) -> list[TupleRow]:
    """As rows, under KEEP_THE_PLAN: a transaction of its own in one round trip (settings are local to it)."""
    async with conn.pipeline(), conn.transaction():
        await conn.execute(KEEP_THE_PLAN)
        cursor = await conn.execute(statement, parameters)
    return await cursor.fetchall()


async def rows(conn: Connection, statement: LiteralString, parameters: dict[str, Any] | None = None) -> list[TupleRow]:
    cursor = await conn.execute(statement, parameters)
    return await cursor.fetchall()
