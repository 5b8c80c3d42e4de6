"""A server's way to its database at its start: it waits for what can pass, and ends at what cannot."""

import asyncio
import random

from loguru import logger

from hodei.domain.errors import Conflict, Unavailable
from hodei.store import schema
from hodei.store.connecting import Refused


async def wait_for_database(url: str) -> None:
    """Returns when the schema stands. Conflict, Invalid: waiting cannot help (a wrong password, a
    missing right, a newer schema)."""
    pause_s = 0.5
    while True:
        try:
            logger.info(await schema.ensure(url))
            await _say_lacking_rights(url)
            return
        except Refused as error:
            raise Conflict(f"the database refuses this server: {error}") from error
        except Unavailable as error:
            logger.warning("{}; waiting for the database", error)
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.0))  # noqa: S311
            pause_s = min(pause_s * 2, 5.0)


async def _say_lacking_rights(url: str) -> None:
    """Warns of missing rights. A server works without some of them, or gets them granted while it
    runs."""
    if lacking := await asyncio.to_thread(schema.lacking_rights, url):
        logger.warning("{} (docs/database.md has the GRANTs)", "; ".join(lacking))
