"""The way of a claim around a job that cannot be claimed: its row is locked by somebody's open
transaction, or PostgreSQL refuses to write it.

What is locked is passed over for a while. What is at fault is found by halves, mended if a hand has
broken its row, and else set aside; the others of the claim are claimed on the way. Where no job can
be claimed, the fault is the database's, and the jobs wait.
"""

import time
import uuid
from collections import Counter, deque
from collections.abc import Mapping

from loguru import logger

from hodei.domain.errors import Locked, Unavailable
from hodei.domain.timing import ACCEPT_WITHIN_S
from hodei.flow.set_aside import set_aside
from hodei.store import claims, faults, halves, invariants, sqlstate
from hodei.store.claims import ClaimRequest, Offer
from hodei.store.database import Database

AVOID_S = 3.0
"""Seconds for which claims pass over a job that could not be claimed."""

SEARCHES, MOST_AVOID_S = 10, 300.0
"""A job whose claim a time-out ended is passed over for so many times as long as it took to find it,
and for so many seconds at most: all others wait during a search."""

MOST_AVOIDED = 1000
"""Jobs that are passed over. When there are more, the oldest are tried again."""

LOCKED_S = 15.0
"""Seconds for which the log may say of a job that it is locked: longer than the time between two
looks at a queue in which nothing moves."""

MOST_BLAMED, BLAMED_WITHIN_S = 3, 60.0
"""Jobs that are set aside at most in so many seconds in which no other can be claimed."""


class Detour:
    """The detours of one dispatcher."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._until: dict[uuid.UUID, float] = {}
        self._locked: tuple[uuid.UUID, float] | None = None  # a job, and when it was found locked
        # When jobs were set aside (monotonic).
        self._blamed: deque[float] = deque(maxlen=MOST_BLAMED)
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

    def _avoid_locked(self, job: uuid.UUID, seconds: float = AVOID_S) -> None:
        self.avoid(job, seconds)
        self._locked = job, time.monotonic()

    @property
    def locked(self) -> uuid.UUID | None:
        """A job that a claim has lately found locked."""
        if self._locked and self._locked[1] > time.monotonic() - LOCKED_S:
            return self._locked[0]
        return None

    def on_claimed(self) -> None:
        """A job was claimed: the database is sound."""
        self._blamed.clear()

    async def claim(self, request: ClaimRequest, error: Exception) -> list[Offer]:
        """The offers that a claim which failed with `error` would have made, without those of jobs
        that cannot be claimed now. Unavailable: as of any claim."""
        jobs = await self._database.run(lambda conn: claims.claimable(conn, request))
        if isinstance(error, Locked):
            locked = await self._database.run(lambda conn: claims.locked(conn, jobs))
            for job in locked:
                self._avoid_locked(job)
            jobs = [job for job in jobs if job not in locked]
        narrow, begun = _NarrowClaim(self._database, request), time.monotonic()
        answers = await self._searched(narrow, jobs, error)
        of_a_job = bool(narrow.offers) or len(jobs) == 1
        self._avoid_all_locked(answers, time.monotonic() - begun if of_a_job else 0.0)
        self._tell_of_slow(answers, of_a_job=of_a_job)
        refused = {
            job: answer
            for job, answer in answers.items()
            if isinstance(answer, Exception) and not isinstance(answer, Locked)
        }
        for job, refusal in refused.items():
            self._log.warning("job {} cannot be claimed: {}", job, sqlstate.primary(refusal))
            if not await self._try_mended(narrow, job, refusal):
                for other in refused:
                    self.avoid(other)
                break
        return narrow.offers

    async def _searched(
        self, narrow: "_NarrowClaim", jobs: list[uuid.UUID], error: Exception
    ) -> dict[uuid.UUID, Exception | None]:
        """Claims jobs by halves, and returns what each has come to. Where all of them take too long
        they are passed over like one of them, so that others have their turn."""
        try:
            return dict(zip(jobs, await halves.each(jobs, narrow.claim, error), strict=True))
        except Unavailable as late:
            if not sqlstate.is_of_no_function(late):
                raise
            return dict.fromkeys(jobs, error)

    def _avoid_all_locked(
        self, answers: Mapping[uuid.UUID, Exception | None], searched_s: float
    ) -> None:
        """Has claims pass over the jobs that are locked. An error that several jobs have is that of
        a search that was given up: most of them are innocent. `searched_s`: of a search that has
        found a job at fault; 0: no job could be claimed, and each may be claimed soon."""
        counts = Counter(map(id, answers.values()))
        for job, answer in answers.items():
            if isinstance(answer, Locked):
                is_slow = counts[id(answer)] == 1 and not sqlstate.is_lock(answer.__cause__)
                pause_s = min(SEARCHES * searched_s, MOST_AVOID_S) if is_slow else AVOID_S
                self._avoid_locked(job, max(pause_s, AVOID_S))

    def _tell_of_slow(
        self, answers: Mapping[uuid.UUID, Exception | None], *, of_a_job: bool
    ) -> None:
        """Says which jobs somebody's function keeps from being claimed, or that it keeps all."""
        slow = {job: one for job, one in answers.items() if one and sqlstate.is_slow(one)}
        if not slow:
            return
        function = sqlstate.function_of_others(next(iter(slow.values())))
        what = f"function {function}()" if function else "a constraint or an index"
        if of_a_job:
            words = "jobs {} cannot be claimed: {} of somebody else does not come to its end"
            self._log.warning(words, [str(job) for job in slow][:10], what)
        else:
            words = "no job can be claimed: {} of somebody else does not come to its end{}; {}"
            or_slow = "" if function else ", or the database is too slow"
            check = "`hodei db check` names what is not ours"
            self._log.error(words, what, or_slow, check)

    async def _try_mended(self, narrow: "_NarrowClaim", job: uuid.UUID, error: Exception) -> bool:
        """Claims a job again once leases without a job are gone, as a hand may have left one of this
        job, and lease numbers are past those in use. If that does not help, the job is set aside.
        False: it is not at fault, as no job can be claimed."""
        await self._database.run(invariants.drop_leases)
        if faults.fails_for_all(error):
            await self._database.run(invariants.pass_live_leases)
        (again,) = await halves.each([job], narrow.claim)
        if not isinstance(again, Exception):
            return True
        self.avoid(job)
        if narrow.offers:
            self.on_claimed()
        if faults.fails_for_all(again) or not self._may_blame():
            words = "no job can be claimed, so that none is at fault ({}): {}"
            self._log.error(words, "`hodei db check` may say why", sqlstate.primary(again))
            return False
        await set_aside(self._database, [job], again, "system:job_dispatcher")
        return True

    def _may_blame(self) -> bool:
        """Whether a job may be set aside now; counts it."""
        now = time.monotonic()
        if len(self._blamed) == MOST_BLAMED and now - self._blamed[0] < BLAMED_WITHIN_S:
            return False
        self._blamed.append(now)
        return True


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
