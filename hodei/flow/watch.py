"""Who waits for jobs to move: readers that follow a log, and callers that wait for ends.

One statement asks for all watched jobs of this server together how far they have come; whoever
watches reads only then. What moves through this server wakes its watchers at once."""

import asyncio
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from loguru import logger

from hodei.domain.job import FINAL
from hodei.domain.text import words_of
from hodei.store import job_logs
from hodei.store.database import TROUBLE, Database

FOLLOWED_EVERY_S, WAITED_FOR_EVERY_S = 0.1, 1.0
"""Seconds between two looks at jobs whose logs are followed, and at those of which only the end is
waited for."""

REST = 5.0
"""A look that took long is followed by a pause 5 times as long: however many jobs are
watched, it takes a sixth of one connection at most, up to MOST_REST_S."""

MOST_REST_S = 3.0
"""Seconds of the longest pause. A look that somebody's lock on a table holds up for long says nothing
of how much there is to read."""


class Watch:
    """Jobs that are watched. Bounded as the calls that watch are (access/limits.py)."""

    def __init__(self, database: Database, *, ends_only: bool) -> None:
        self._database = database
        self._ends_only = ends_only
        self._watchers: dict[uuid.UUID, set[asyncio.Event]] = {}
        self._watched = asyncio.Event()

    async def run(self) -> None:
        """Wakes the watchers of jobs that have moved, or have ended, for ever. While the database is
        in trouble it wakes all, so that each of them meets the trouble by itself."""
        before: dict[uuid.UUID, job_logs.Progress] = {}
        every_s = WAITED_FOR_EVERY_S if self._ends_only else FOLLOWED_EVERY_S
        pause_s = every_s
        while True:
            await self._watched.wait()
            await asyncio.sleep(pause_s)
            watched = list(self._watchers)
            begun = time.monotonic()
            now = await self._look(watched)
            pause_s = max(every_s, min(MOST_REST_S, REST * (time.monotonic() - begun)))
            for job_id in watched:
                if self._has_moved(before.get(job_id), now.get(job_id)):
                    self.wake(job_id)
            before = now

    async def _look(self, watched: list[uuid.UUID]) -> dict[uuid.UUID, job_logs.Progress]:
        try:
            return await self._database.run(lambda conn: job_logs.progress(conn, watched))
        except TROUBLE as error:
            logger.bind(component="Watch").debug("watchers wait: {}", words_of(error))
            return {}

    def _has_moved(self, before: job_logs.Progress | None, now: job_logs.Progress | None) -> bool:
        if now is None:  # deleted, or not known just now
            return True
        return now.state in FINAL if self._ends_only else now != before

    def wake(self, job_id: uuid.UUID) -> None:
        """Tells the watchers of a job that it has moved."""
        if not self._watchers:  # each end comes here, and the hash of an id takes a while
            return
        for moved in self._watchers.get(job_id, ()):
            moved.set()

    @contextmanager
    def watching(self, job_ids: Iterable[uuid.UUID]) -> Iterator[asyncio.Event]:
        """Watches the jobs meanwhile; the event is set as often as one of them has moved."""
        moved, mine = asyncio.Event(), set(job_ids)
        for job_id in mine:
            self._watchers.setdefault(job_id, set()).add(moved)
        if mine:
            self._watched.set()
        try:
            yield moved
        finally:
            for job_id in mine:
                self.leave(moved, job_id)

    def leave(self, moved: asyncio.Event, job_id: uuid.UUID) -> None:
        """Watches a job no longer."""
        watchers = self._watchers.get(job_id, set())
        watchers.discard(moved)
        if not watchers:
            self._watchers.pop(job_id, None)
        if not self._watchers:
            self._watched.clear()
