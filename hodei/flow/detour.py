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
"""Seconds for which claims pass over a job that could not be claimed."""

MOST_AVOIDED = 1000
"""Jobs that are passed over. When there are more, the oldest are tried again."""


class Detour:
    """The detours of one dispatcher."""

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

    def avoid(self, job: uuid.UUID, seconds: float = AVOID_S) -> None:
        """Has claims pass over a job for a while."""
        self._until[job] = time.monotonic() + seconds

    async def claim(self, request: ClaimRequest, error: Exception) -> list[Offer]:
        """The offers that a claim which failed with `error` would have made, without those of jobs
        that cannot be claimed now. Unavailable: as of any claim."""
        jobs = await self._database.run(lambda conn: claims.claimable(conn, request))
        if isinstance(error, Locked):
            locked = await self._database.run(lambda conn: claims.locked(conn, jobs))
            for job in locked:
                self.avoid(job)
            jobs = [job for job in jobs if job not in locked]
        narrow = _NarrowClaim(self._database, request)
        for job, answer in zip(jobs, await halves.each(jobs, narrow.claim), strict=True):
            if isinstance(answer, Locked):
                self.avoid(job)
            elif isinstance(answer, Exception):
                self._log.warning("job {} cannot be claimed: {}", job, sqlstate.primary(answer))
                await self._try_mended(narrow, job)
        return narrow.offers

    async def _try_mended(self, narrow: "_NarrowClaim", job: uuid.UUID) -> None:
        """Claims a job again once leases without a job are gone: a hand may have left one of this
        job. If that does not help, the job is set aside."""
        await self._database.run(invariants.drop_leases)
        (again,) = await halves.each([job], narrow.claim)
        if isinstance(again, Exception):
            self.avoid(job)
            await set_aside(self._database, [job], again, "system:job_dispatcher")


class _NarrowClaim:
    """Claims of a few named jobs each, for the workers of one request."""

    def __init__(self, database: Database, request: ClaimRequest) -> None:
        self._database = database
        self._request = request
        self._free = list(request.workers)
        self.offers: list[Offer] = []

    async def claim(self, some: list[uuid.UUID]) -> list[None]:
        """Claims some of the jobs; the offers are added to `offers`."""
        workers = self._free[: len(some)]
        request = self._request._replace(workers=workers, beyond=None, among=some)
        claimed = await self._database.run(
            lambda conn: claims.claim(conn, request, ACCEPT_WITHIN_S)
        )
        for offer in claimed.offers:
            self._free.remove(offer.worker_id)
        self.offers.extend(claimed.offers)
        return [None] * len(some)
