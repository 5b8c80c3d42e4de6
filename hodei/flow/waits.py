"""Why jobs wait, for those who ask: once, or for as long as a job waits."""

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from hodei.access.shared import SharedReading
from hodei.domain.job import JobState
from hodei.flow.waiting import MOST_SETS, Situation, Wait, WaitKind, wait_of, with_place
from hodei.store import waits, workers
from hodei.store.database import Runs
from hodei.store.waits import WaitingJob
from hodei.store.workers import Worker

LOOK_EVERY_S = 2.0
"""Seconds between two looks at a job that waits, and before the first."""

AGAIN_S = 30.0
"""Seconds after which the same kind of cause is told again, with its numbers of then."""

MOST_ASKED = 20
"""Jobs of one call that are looked at."""


class _Seen(NamedTuple):
    """The jobs that are asked for, and the fleet, of the same moment."""

    jobs: dict[uuid.UUID, WaitingJob]
    fleet: list[Worker]


class Waits:
    """Whoever asks at the same time is answered by one reading for all."""

    def __init__(self, reads: Runs) -> None:
        self._reads = reads
        self._asked: Counter[uuid.UUID] = Counter()  # bounded as the calls that ask are
        self._seen: SharedReading[_Seen] = SharedReading(self._see)
        self._fleet: SharedReading[list[Worker]] = SharedReading(self._read_fleet)

    async def fleet(self) -> list[Worker]:
        """The workers that are not TERMINATED."""
        return await self._fleet.get()

    async def first_of(self, job_ids: Iterable[uuid.UUID]) -> tuple[uuid.UUID, Wait] | None:
        """Which of the first MOST_ASKED of the jobs waits now, and why; None: none of them."""
        ids = list(itertools.islice(job_ids, MOST_ASKED))
        self._asked.update(ids)
        try:
            seen = await self._seen.get()
        finally:
            self._asked.subtract(ids)
            for job_id in ids:
                if not self._asked[job_id]:
                    del self._asked[job_id]
        for job_id in ids:
            job = seen.jobs.get(job_id)
            if job and (wait := wait_of(job, seen.fleet)):
                return job_id, wait
        return None

    async def words(self, job_id: uuid.UUID, job: Situation) -> str:
        """Why a job waits, with how many jobs are before it; empty: it does not."""
        if job.state != JobState.PENDING:
            return ""
        wait = wait_of(job, await self.fleet())
        return await self.with_place(job_id, wait) if wait else ""

    async def with_place(self, job_id: uuid.UUID, wait: Wait) -> str:
        """The words for a wait of the job; for a slot or its turn with the jobs before it."""
        if wait.cause not in (WaitKind.SLOT, WaitKind.TURN):
            return wait.words
        sets = wait.sets if len(wait.sets) <= MOST_SETS else ()
        before = await self._reads.run(lambda conn: waits.before(conn, job_id, sets, wait.projects))
        return with_place(wait, before)

    async def _see(self) -> _Seen:
        asked = list(self._asked)
        jobs = await self._reads.run(lambda conn: waits.situations(conn, asked))
        return _Seen(jobs, await self._read_fleet())

    async def _read_fleet(self) -> list[Worker]:
        return await self._reads.run(lambda conn: workers.list_all(conn, every=False))


class Telling:
    """Tells one caller why jobs wait: first after LOOK_EVERY_S, then when the kind of cause or the
    job has changed, and each AGAIN_S. Numbers that only shrink are not told again at each look."""

    def __init__(self, all_waits: Waits) -> None:
        self._waits = all_waits
        self._told: tuple[uuid.UUID, WaitKind] | None = None
        self._told_at = 0.0

    async def until(
        self, moved: asyncio.Event, job_ids: Iterable[uuid.UUID]
    ) -> AsyncIterator[tuple[uuid.UUID, str]]:
        """Yields which of the jobs waits, and words for why, until the event is set."""
        while not await _set_within(moved, LOOK_EVERY_S):
            found = await self._waits.first_of(job_ids)
            if found is None:
                continue
            job_id, wait = found
            now = time.monotonic()
            if self._told != (job_id, wait.cause) or now - self._told_at >= AGAIN_S:
                self._told, self._told_at = (job_id, wait.cause), now
                yield job_id, await self._waits.with_place(job_id, wait)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
