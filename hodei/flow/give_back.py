"""Offers that nobody accepted go back to the queue."""

from collections.abc import Sequence

from loguru import logger

from hodei.domain.errors import Locked
from hodei.flow import job_lines
from hodei.flow.set_aside import set_aside_lease
from hodei.store import halves, releases
from hodei.store.database import Database
from hodei.store.leases import Claimant


async def give_back(
    database: Database, offers: Sequence[Claimant], reason: str, actor: str
) -> list[int]:
    """Queues offers again, and returns the leases of those that were.

    An offer that was accepted meanwhile stays with its worker; one whose row is locked lapses
    later; one that PostgreSQL refuses is set aside."""
    log = logger.bind(component="JobController")

    async def release(batch: list[Claimant]) -> list[bool]:
        released = await database.run(lambda conn: releases.release(conn, batch, reason, actor))
        job_lines.say(log, job_lines.of_release(released, reason, actor))
        back = {one.lease for one in released}
        return [claimant.lease in back for claimant in batch]

    back: list[int] = []
    for claimant, answer in zip(offers, await halves.each(offers, release), strict=True):
        if answer is True:
            back.append(claimant.lease)
        elif isinstance(answer, Exception) and not isinstance(answer, Locked):
            await set_aside_lease(database, claimant, answer, actor)
    return back
