"""Who waits for jobs to move: readers that follow a log, and callers that wait for ends.

One statement each LOOK_EVERY_S asks for all watched jobs of this server together how far they have
come; whoever watches reads only then."""

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

LOOK_EVERY_S = 0.1
"""Seconds between two looks at watched jobs that move through another server; when a log comes
through this one, its followers are woken at once."""

REST = 5.0
"""A look that took long is followed by a pause of so many times as long: some 50,000 watched jobs
take a fifth of one connection at most."""


class Watcher:
    """One call that watches jobs. With `ends_only` it is woken when one of them has ended or is
    deleted; otherwise also when its log grows."""

    def __init__(self, *, ends_only: bool) -> None:
        self.ends_only = ends_only
        self.moved = asyncio.Event()


class Watch:
    """The watched jobs of this server. Bounded as the calls that watch are (access/limits.py)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: dict[uuid.UUID, set[Watcher]] = {}
        self._watched = asyncio.Event()

    async def run(self) -> None:
        """Wakes the watchers of jobs that have moved, for ever. While the database is in trouble it
        wakes all, so that each of them meets the trouble by itself."""
        before: dict[uuid.UUID, job_logs.Progress] = {}
        pause_s = LOOK_EVERY_S
        while True:
            await self._watched.wait()
            await asyncio.sleep(pause_s)
            watched = list(self._watchers)
            begun = time.monotonic()
            now = await self._look(watched)
            pause_s = max(LOOK_EVERY_S, REST * (time.monotonic() - begun))
            for job_id in watched:
                progress = now.get(job_id)
                if progress is None or progress != before.get(job_id):
                    self._wake(job_id, ended=progress is None or progress.state in FINAL)
            before = now

    async def _look(self, watched: list[uuid.UUID]) -> dict[uuid.UUID, job_logs.Progress]:
        try:
            return await self._database.run(lambda conn: job_logs.progress(conn, watched))
        except TROUBLE as error:
            logger.bind(component="Watch").debug("followers wait: {}", words_of(error))
            return {}

    def wake(self, job_id: uuid.UUID) -> None:
        """Tells the followers of a job that its log has grown."""
        self._wake(job_id, ended=False)

    def _wake(self, job_id: uuid.UUID, *, ended: bool) -> None:
        for watcher in self._watchers.get(job_id, ()):
            if ended or not watcher.ends_only:
                watcher.moved.set()

    @contextmanager
    def watching(
        self, job_ids: Iterable[uuid.UUID], *, ends_only: bool = False
    ) -> Iterator[Watcher]:
        """Watches the jobs meanwhile."""
        watcher, mine = Watcher(ends_only=ends_only), set(job_ids)
        for job_id in mine:
            self._watchers.setdefault(job_id, set()).add(watcher)
        if mine:
            self._watched.set()
        try:
            yield watcher
        finally:
            for job_id in mine:
                self.leave(watcher, job_id)

    def leave(self, watcher: Watcher, job_id: uuid.UUID) -> None:
        """Watches a job no longer."""
        watchers = self._watchers.get(job_id, set())
        watchers.discard(watcher)
        if not watchers:
            self._watchers.pop(job_id, None)
        if not self._watchers:
            self._watched.clear()
