"""The way of a claim around a job that cannot be claimed: its row is locked by somebody's open
transaction, or PostgreSQL refuses to write it.

What is locked is passed over for a while. What is at fault is found by halves, mended if a hand has
broken its row, and else set aside; the others of the claim are claimed on the way.
"""

import time
import uuid

from loguru import logger

from hodei.domain.errors import Locked
from hodei.domain.timing import ACCEPT_WITHIN_S
from hodei.flow.set_aside import set_aside
from hodei.store import claims, halves, invariants, sqlstate
from hodei.store.claims import ClaimRequest, Offer
from hodei.store.database import Database

AVOID_S = 3.0
"""For how long a job that could not be claimed is passed over."""

MOST_AVOIDED = 1000
"""When there are more, the oldest are tried again."""


class Detour:
    """Of one dispatcher."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._until: dict[uuid.UUID, float] = {}
        self._log = logger.bind(component="JobDispatcher")

    @property
    def avoided(self) -> list[uuid.UUID]:
        """The jobs that claims pass over now."""
        if self._until:
            now = time.monotonic()
            kept = [(job, until) for job, until in self._until.items() if until > now]
            self._until = dict(kept[-MOST_AVOIDED:])
        return list(self._until)

    def _avoid(self, job: uuid.UUID) -> None:
        self._until[job] = time.monotonic() + AVOID_S

    async def claim(self, wish: ClaimRequest, error: Exception) -> list[Offer]:
        """What a claim that failed with `error` would have got, without those that it cannot have.

        Unavailable, as any claim.
        """
        jobs = await self._database.run(lambda conn: claims.claimable(conn, wish))
        if isinstance(error, Locked):
            locked = await self._database.run(lambda conn: claims.locked(conn, jobs))
            for job in locked:
                self._avoid(job)
            jobs = [job for job in jobs if job not in locked]
        offers: list[Offer] = []
        free = list(wish.workers)

        async def among(some: list[uuid.UUID]) -> list[None]:
            narrow = wish._replace(workers=free[: len(some)], beyond=None, among=some)
            claimed = await self._database.run(
                lambda conn: claims.claim(conn, narrow, ACCEPT_WITHIN_S)
            )
            for offer in claimed.offers:
                free.remove(offer.worker_id)
            offers.extend(claimed.offers)
            return [None] * len(some)

        for job, answer in zip(jobs, await halves.each(jobs, among), strict=True):
            if isinstance(answer, Locked):
                self._avoid(job)
            elif isinstance(answer, Exception):
                self._log.warning("job {} cannot be claimed: {}", job, sqlstate.primary(answer))
                await self._database.run(
                    invariants.drop_leases
                )  # a hand may have left one of this job
                (again,) = await halves.each([job], among)
                if isinstance(again, Exception):
                    self._avoid(job)
                    await set_aside(self._database, [job], again, "system:job_dispatcher")
        return offers
