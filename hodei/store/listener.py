"""LISTEN, on a connection of its own: a transaction pooler cannot stand between."""

import asyncio
from collections.abc import Callable
from typing import LiteralString

from psycopg import AsyncConnection

from hodei.store.database import SOCKET


async def listen(
    url: str, channels: tuple[LiteralString, ...], hear: Callable[[str, str], None], name: str
) -> None:
    """Calls hear(channel, payload) for each notification, and hear('', '') once, when it listens.
    It ends only with an error.

    Whenever 10 s pass without a notification a SELECT finds out whether the connection is
    half-open."""
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
