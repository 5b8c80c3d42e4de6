"""A worker's hello is stored. While it cannot be, its word counts all the same: what it runs begins
nowhere else.

Failure: its row may be locked so long that nothing can be written of it; then nobody can judge its
silence either."""

import asyncio
from collections.abc import Sequence

from loguru import logger

from hodei.domain.text import words_of
from hodei.store import hellos, sessions
from hodei.store.database import TROUBLE, Connection, Database
from hodei.store.sessions import Greeting, Session
from hodei.store.worker_credentials import Refused, why_not

TRIED_FOR_S = 6.0
"""Seconds after which no further attempt begins, of which one takes 4 s at most: the worker waits 15 s
for its welcome."""

AGAIN_S = 1.0
"""Seconds between two attempts."""


async def connect(
    database: Database, greeting: Greeting, taken: Sequence[int], beating_within_s: float
) -> Session | None:
    """Opens a session; None: it is refused. `taken`: leases whose jobs the worker has begun.

    Unavailable, psycopg.Error: it cannot be stored now; the worker says it again."""
    until = asyncio.get_running_loop().time() + TRIED_FOR_S
    if taken:
        await _believe(database, greeting, taken)
    while True:
        try:
            return await database.run(lambda c: sessions.connect(c, greeting, beating_within_s))
        except TROUBLE as error:
            if not _is_answer(error):
                raise
            await _believe(database, greeting, taken, lives=True)
            if asyncio.get_running_loop().time() > until:
                log = logger.bind(component="WorkerMonitor", worker_id=greeting.worker_id)
                log.warning("the worker's hello cannot be stored: {}", words_of(error))
                raise
        await asyncio.sleep(AGAIN_S)


def _is_answer(error: BaseException) -> bool:
    """Returns whether PostgreSQL has answered: else nothing can be written of any worker."""
    return bool(getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None))


async def _believe(
    database: Database, greeting: Greeting, taken: Sequence[int], *, lives: bool = False
) -> None:
    """Writes down what a hello says, if its credential is good: which offers slots have taken, and
    that the worker lives. What cannot be written comes with the next attempt."""

    async def write(conn: Connection) -> None:
        refused = await why_not(conn, greeting.worker_id, greeting.credential_sha256)
        if refused is not Refused.DUPLICATE:  # its word where the credential is good
            return
        if taken:
            await hellos.keep(conn, greeting.worker_id, taken)
        if lives:
            await hellos.vouch(conn, greeting.worker_id, greeting.instance)

    try:
        await database.run(write)
    except TROUBLE as error:
        log = logger.bind(component="WorkerMonitor", worker_id=greeting.worker_id)
        log.debug("what the worker's hello says cannot be stored: {}", words_of(error))
