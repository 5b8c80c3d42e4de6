"""The connections of a pool. The driver says of a call only that it got none; why none can be made is
said here, once for as long as the reason is the same.

Callers are not told the reason: it names the database's host and the role of the server."""

from typing import Any, Self

import psycopg
from loguru import logger
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from hodei.store.connecting import one_line


class Attempts:
    """How the attempts of one pool to connect go."""

    def __init__(self) -> None:
        self.refusal = ""  # why the last one failed; '': it did not fail

    def record(self, refusal: str = "") -> None:
        """Takes how one has ended; '': there is a connection."""
        if refusal and refusal != self.refusal:
            logger.warning("no connection to the database can be made: {}", refusal)
        self.refusal = refusal


class PooledConnection(AsyncConnection[TupleRow]):
    @classmethod
    async def connect(cls, conninfo: str = "", *, attempts: Attempts, **options: Any) -> Self:  # type: ignore[override]
        """Connects as its base does, and records how that went."""
        try:
            made = await super().connect(conninfo, **options)
        except psycopg.Error as error:
            attempts.record(one_line(str(error).strip()))
            raise
        attempts.record()
        return made
