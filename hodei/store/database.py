"""The way to PostgreSQL: a small fixed pool, a bound on every call, one translation of driver
errors, and the listener.

Nothing here leaves state in a session, so that a transaction pooler may stand between; only the
listener needs a connection of its own."""

import asyncio
import random
import select
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import psycopg
import psycopg_pool
from loguru import logger
from psycopg import AsyncConnection
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
