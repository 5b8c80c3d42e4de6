"""The way to PostgreSQL: a small fixed pool, a bound on every call, and one translation of driver
errors.

Nothing here leaves state in a session, so that a transaction pooler may stand between
(docs/architecture.md, rule 11)."""

import asyncio
import random
import select
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import psycopg
import psycopg_pool
from loguru import logger
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from hodei.domain.errors import HodeiError, Unavailable
from hodei.store import json_values, sqlstate, times
from hodei.store.pooled import Attempts, PooledConnection

__all__ = ["json_values", "times"]  # imported for their effect on what every connection reads

Connection = AsyncConnection[TupleRow]
T = TypeVar("T")

CALL_TIMEOUT_S = 15.0
"""Most seconds that one call may take, with the wait for a connection. Then the driver cancels it
in PostgreSQL and, where that is not answered within 10 s, closes the connection."""

SOCKET: dict[str, Any] = {
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""Parameters of every connection. It notices within 15 s that the database's host has vanished
(tcp_user_timeout is in milliseconds). The encoding is ours, not the database's: else the driver
would refuse text that PostgreSQL could have refused row by row."""

TROUBLE = (Unavailable, psycopg.Error)
"""Errors that a service waits out, because it must not end: the database is away, or refuses one
statement (a row was changed by hand)."""

POOL_SIZE = 6
"""Connections of one server, besides the listener's. Callers of the API have three at most
(access/limits.py). Claims, creates, results, logs and heartbeats have the others, and these three as
well while nobody calls."""

RECONNECT_S = 2.0
"""Seconds after which the pool gives up an attempt to connect and begins another one. Within an
attempt it tries again after 1 s, then after ever longer pauses: without a bound a server would find
its database up to a minute after its return. Workers wait 10 s for that (hodei_worker/elsewhere.py)."""

POOL_ERRORS = (psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed)

NO_CONNECTION = "the database is not available: no connection to it can be made; the log says why"
ALL_BUSY = f"all {POOL_SIZE} connections to the database are busy; try again"

HEAL_EVERY_S = 15.0
"""Seconds until the schema is applied again where that was of no use: this role may not make what is
missing, or not see it."""

MOST_RUNS = POOL_SIZE + 2
"""Times that a call is run when connections turn out stale or other transactions are in the way:
each connection of the pool may be stale."""


class Runs(Protocol):
    """A way to the database: the pool itself, or the part of it that callers of the API may use
    (access/limits.py)."""

    async def run(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        idempotent: bool = False,
    ) -> T: ...


class Database:
    """The pool of one server. When an object of the schema turns out to be gone (after the guide's
    clean script) `heal` is awaited, and the call runs again."""

    def __init__(
        self, url: str, *, prepare: bool = True, heal: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._heal = heal
        self._healing = asyncio.Lock()
        self._healed = 0
        self._heal_at = 0.0  # by time.monotonic()
        self._attempts = Attempts()
        self.pool: psycopg_pool.AsyncConnectionPool[Connection] = psycopg_pool.AsyncConnectionPool(
            url,
            connection_class=PooledConnection,
            min_size=1,
            max_size=POOL_SIZE,
            open=False,
            timeout=10.0,
            reconnect_timeout=RECONNECT_S,
            reconnect_failed=_connect_again,
            check=_still_open,
            kwargs={
                "attempts": self._attempts,
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
        """Runs `work` on a connection. Each of its statements is a transaction of its own, unless
        `work` opens one.

        It is run again, on another connection, where nothing of it was done (_make_ready) and, if
        it is `idempotent`, where its connection was lost in the middle. Unavailable: the database
        cannot serve now. Errors of rows come as psycopg.Error."""
        for runs_left in reversed(range(MOST_RUNS)):
            healed = self._healed
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._once(work)
            except (TimeoutError, psycopg.Error, *POOL_ERRORS) as error:
                lost = idempotent and runs_left == MOST_RUNS - 1 and sqlstate.is_lost(error)
                if lost or await self._make_ready(error, runs_left, healed):
                    continue
                if unavailable := self._unavailable(error):
                    raise unavailable from error
                raise
        raise AssertionError("unreachable")

    async def _make_ready(self, error: Exception, runs_left: int, healed: int) -> bool:
        """Returns whether the call is to be run again: nothing of it was done. An object of the
        schema was gone and is there again, the connection was stale, or other transactions were in
        the way (after a pause)."""
        state = None if sqlstate.is_of_a_trigger(error) else getattr(error, "sqlstate", None)
        gone = state == sqlstate.USED_UP or sqlstate.is_missing(error)
        if gone and self._heal and healed == self._healed:
            now = time.monotonic()
            if runs_left <= MOST_RUNS - 3:
                self._heal_at = now + HEAL_EVERY_S
            if now < self._heal_at:
                return False
            await self._mend(healed)
            return True
        if runs_left and state in sqlstate.IN_THE_WAY:
            await asyncio.sleep(random.uniform(0.002, 0.02))  # noqa: S311
            return True
        return bool(runs_left) and sqlstate.is_stale(error)

    async def _once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Closes a connection on which anything failed: after a pipeline that ended in the middle
        the driver believes in prepared statements that PostgreSQL has never parsed."""
        async with self.pool.connection() as conn:
            try:
                return await work(conn)
            except HodeiError:
                raise
            except BaseException:
                await conn.close()
                raise

    def _unavailable(self, error: Exception) -> Unavailable | None:
        if isinstance(error, psycopg_pool.PoolClosed):
            return Unavailable("this server is shutting down")
        if isinstance(error, psycopg_pool.PoolTimeout):
            return Unavailable(NO_CONNECTION if self._attempts.refusal else ALL_BUSY)
        if isinstance(error, TimeoutError):
            return Unavailable("the database did not answer in time; try again")
        if sqlstate.is_missing(error):  # no row is at fault
            return Unavailable(
                "an object of Hodei's schema is missing, or this role may not see it; `hodei db"
                f" check` names it ({sqlstate.primary(error)})"
            )
        return sqlstate.unavailable(error)

    async def _mend(self, seen: int) -> None:
        """Applies schema.sql once for all calls that found the same gap."""
        async with self._healing:
            if seen == self._healed and self._heal:
                logger.warning(
                    "an object of Hodei's schema is gone or used up; applying schema.sql again"
                )
                await self._heal()
                self._healed += 1

    async def transact(
        self, work: Callable[[Connection], Awaitable[T]], *, timeout_s: float = CALL_TIMEOUT_S
    ) -> T:
        """As `run`, with all statements of `work` in one transaction. `work` must await nothing but
        this connection."""

        async def transaction(conn: Connection) -> T:
            async with conn.transaction():
                return await work(conn)

        return await self.run(transaction, timeout_s=timeout_s)


async def _connect_again(pool: psycopg_pool.AsyncConnectionPool[Connection]) -> None:
    """Begins another attempt if the pool has no connection left: its waiting callers cause none."""
    await pool.check()


async def _still_open(conn: Connection) -> None:
    """Checks, before a connection is used, that neither PostgreSQL nor a pooler ended it while it
    was idle. That costs no round trip: an end, or a message before it, waits in the socket.
    OperationalError: it has ended, and the pool takes another."""
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    for _ in range(3):
        if not poll.poll(0):
            return
        conn.pgconn.consume_input()  # raises at the end of the stream
    raise psycopg.OperationalError("the connection was ended while it was idle")
