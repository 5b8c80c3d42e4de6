"""This server's row in hodei_servers: that it is there, where, and with which settings. It is for
people; nothing is decided by it.

Failure: a row that is not renewed is not shown after 20 s, and deleted by another server after an
hour."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime

from loguru import logger

from hodei.domain.text import words_of
from hodei.store import servers
from hodei.store.database import TROUBLE, Database

LEAVE_WITHIN_S = 2.0
"""Seconds that a stop waits for the row to be deleted."""


class Announcement:
    def __init__(self, database: Database, me: servers.Self) -> None:
        self._database = database
        self._me = me
        self._certificate_expires_at: Callable[[], datetime | None] = lambda: None

    def listens_at(
        self, addresses: str, certificate_expires_at: Callable[[], datetime | None]
    ) -> None:
        """Says the addresses, and when the certificate expires that is served at the moment."""
        self._me = self._me._replace(address=addresses)
        self._certificate_expires_at = certificate_expires_at

    async def run(self) -> None:
        """Renews the row, for ever. Trouble is logged once, until it has passed."""
        told = ""
        while True:
            try:
                await self._beat()
                told = ""
            except TROUBLE as error:
                if (words := words_of(error)) != told:
                    logger.warning("this server cannot write its row in hodei_servers: {}", words)
                    told = words
            await asyncio.sleep(servers.BEAT_EVERY_S)

    async def _beat(self) -> None:
        expires_at = self._certificate_expires_at()
        await self._database.run(lambda conn: servers.beat(conn, self._me, expires_at))

    async def end(self) -> None:
        """Deletes the row, if the database answers in time."""
        with contextlib.suppress(*TROUBLE):
            await self._database.run(
                lambda conn: servers.leave(conn, self._me.id), timeout_s=LEAVE_WITHIN_S
            )
