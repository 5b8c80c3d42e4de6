"""How a statement is run: as it is, briefly, or under settings that keep its plan."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncRawCursor
from psycopg.rows import TupleRow

from hodei.store import halves, sqlstate
from hodei.store.database import Connection
from hodei.store.parameters import numbered

# A statement over many rows waits 100 ms at most for a lock that somebody else's transaction holds
# on one of them. Then that row is looked for (store/halves.py), and the others go on. The same holds
# for a trigger of somebody else that does not come to its end for one of them. A statement_timeout
# of the role that is shorter stays.
BRIEFLY: LiteralString = """
SELECT set_config('lock_timeout', '100ms', true),
       set_config('array_nulls', 'on', true),
       set_config(
           'statement_timeout',
           CASE WHEN current_setting('statement_timeout')::interval
                     BETWEEN interval '1 ms' AND %(most)s::text::interval
                THEN current_setting('statement_timeout') ELSE %(most)s::text END,
           true)"""

# The plan for a small table must not stay when the table is large, nor the plan that was made while
# it was empty: statistics say that of a queue whenever a vacuum has found it drained (ADR 7).
#
# Every hot statement names the rows that it wants of each growing table (`= ANY (…)`), so that an
# index finds them whatever the planner believes, and joins them as a hash: the cost is that of the
# batch, not of the table. (IS NOT DISTINCT FROM compares what another index would offer in order:
# the planner would walk that index.) Before PostgreSQL 18 a plan that is switched off and yet used
# counts as dear, and dear statements would be compiled, for half a second each: jit is off.
KEEP_THE_PLAN: LiteralString = (
    BRIEFLY
    + """,
       set_config('enable_seqscan', 'off', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('enable_nestloop', 'off', true),
       set_config('enable_mergejoin', 'off', true),
       set_config('jit', 'off', true)"""
)

MOST_S, MOST_SEARCHING_S = 4.0, 0.5
"""Seconds that a statement over many rows may run: a claim of 200 jobs takes 20 ms, and heartbeats wait
for 5 s. In a search all others wait for it, and what it has claimed must be offered within 10 s. An
honest one that takes longer fails as one of a database that is too slow."""

MOST = f"{MOST_S:g}s"


def _most_s() -> float:
    return MOST_SEARCHING_S if halves.after_a_slow_one.get() else MOST_S


def _most() -> dict[str, Any]:
    return {"most": f"{_most_s():g}s"}


@asynccontextmanager
async def _limited(conn: Connection) -> AsyncIterator[None]:
    """A pipeline whose statements our time-out may end: the error then says so (sqlstate.py)."""
    most_s, begun = _most_s(), time.monotonic()
    try:
        async with _pipeline(conn):
            yield
    except psycopg.errors.QueryCanceled as error:
        if time.monotonic() - begun >= most_s:
            error.add_note(sqlstate.OUR_TIME_OUT)
        raise


@asynccontextmanager
async def _pipeline(conn: Connection) -> AsyncIterator[None]:
    """A pipeline, of which PostgreSQL makes one transaction. What refuses its commit (a deferred
    constraint or trigger, a transaction in the way) is raised as itself: the driver puts over it
    that it cannot leave the pipeline, which looks like a database that is away. Or it has lost it,
    because it expects a result less; then the call is run again, as after a conflict."""
    ends = False
    try:
        async with conn.pipeline():
            yield
            ends = True
    except psycopg.OperationalError as error:
        refusal = error.__context__
        if error.sqlstate is None and isinstance(refusal, psycopg.Error) and refusal.sqlstate:
            raise refusal from None
        raise
    except IndexError:
        if not ends:
            raise
        raise psycopg.errors.SerializationFailure("the commit was refused") from None


DEFERRED_NOW: LiteralString = "SET CONSTRAINTS ALL IMMEDIATE"
"""What somebody else's constraints and triggers have put off to the commit is done now: no time-out
holds in a commit."""

Call = tuple[LiteralString, dict[str, Any]]
"""A statement and its parameters."""


async def guarded_rows(conn: Connection, *calls: Call) -> list[list[TupleRow]]:
    """Runs several calls under KEEP_THE_PLAN, in one round trip and one transaction, to which the
    settings are local; returns the rows of each.

    PostgreSQL makes one transaction of what a pipeline sends before its end: BEGIN and COMMIT would
    take as long as the statements themselves. What follows from a statement (a free slot, a job
    that is no longer blocked) is a call more here, never a part of that statement."""
    cursors = []
    async with _limited(conn):
        await execute(conn, KEEP_THE_PLAN, _most())
        for statement, parameters in calls:
            cursors.append(await execute(conn, statement, parameters))
        await execute(conn, DEFERRED_NOW, {})
    return [await cursor.fetchall() for cursor in cursors]


async def brief_rows(
    conn: Connection, statement: LiteralString, parameters: dict[str, Any]
) -> list[TupleRow]:
    """Runs a statement over many rows that is not hot, and returns its rows. It waits 100 ms at
    most for a lock (Locked)."""
    async with _limited(conn):
        await execute(conn, BRIEFLY, _most())
        cursor = await execute(conn, statement, parameters)
        await execute(conn, DEFERRED_NOW, {})
    return await cursor.fetchall() if cursor.description else []


PLAN_ANEW = """
SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('jit', 'off', true),
       set_config('array_nulls', 'on', true)
"""


async def replanned_rows(
    conn: Connection, statement: LiteralString, parameters: dict[str, Any]
) -> list[TupleRow]:
    """Runs a statement that reads much or little, as its parameters say, and returns its rows. It
    is planned for them each time."""
    async with _pipeline(conn):
        await conn.execute(PLAN_ANEW)
        cursor = await execute(conn, statement, parameters)
    return await cursor.fetchall()


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
