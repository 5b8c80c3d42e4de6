"""Natural batching: whatever arrives while one round trip to the database is in flight goes together in the next.

An idle system pays one round trip, a busy one forms large batches by itself. Used for creates, accepts and results, and logs.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import psycopg
from loguru import logger

from hodei.domain.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")


MOST_REST_S = 0.01


class _Group(NamedTuple, Generic[T, R]):
    items: Sequence[T]
    size: int
    answers: asyncio.Future[list[R | Exception]]


class Batcher(Generic[T, R]):
    """`flush` takes the gathered items and returns an answer for each, in order; it must be one transaction.

    `most` items and `most_bytes` are where gathering stops: a batch is at most one group beyond them. `waiting` bounds the groups that
    have not been flushed: when it is full, submit waits, and with it the stream that feeds it. A patient batcher tries again while the
    database is away (its callers hold what they sent on their own disk, and nobody waits for them); any other gives its callers Unavailable
    at once. `rest`: how many times as long as a flush took it then waits for more to gather; unless it is patient, only after a flush of
    several groups: whoever comes alone is not kept waiting.
    """

    def __init__(
        self,
        flush: Callable[[list[T]], Awaitable[list[R]]],
        *,
        most: int,
        most_bytes: int = 1 << 62,
        waiting: int = 10_000,
        patient: bool = False,
        rest: float = 0.0,
    ) -> None:
        self._flush = flush
        self._most = most
        self._most_bytes = most_bytes
        self._patient = patient
        self._rest = rest
        self._queue: asyncio.Queue[_Group[T, R]] = asyncio.Queue(waiting)

    async def submit(self, item: T, size: int = 0) -> R:
        (answer,) = await self.submit_all([item], size)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def submit_all(self, items: Sequence[T], size: int = 0) -> list[R | Exception]:
        """Of items that come together: an answer for each, or what PostgreSQL has against it. Unavailable: none was stored."""
        if not items:
            return []
        answers: asyncio.Future[list[R | Exception]] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Group(items, size, answers))
        return await answers

    async def run(self) -> None:
        """The service; ends only when cancelled, and then leaves nobody waiting."""
        groups: list[_Group[T, R]] = []
        loop = asyncio.get_running_loop()
        try:
            while True:
                groups = await self._gather()
                begun = loop.time()
                await self._answer(groups)
                if self._rest and (self._patient or len(groups) > 1):
                    await asyncio.sleep(min(MOST_REST_S, self._rest * (loop.time() - begun)))
        finally:
            self._queue.shutdown() if hasattr(self._queue, "shutdown") else None
            while not self._queue.empty():
                groups.append(self._queue.get_nowait())
            _fail(groups, Unavailable("this server is shutting down; ask another one"))

    async def _gather(self) -> list[_Group[T, R]]:
        groups = [await self._queue.get()]
        count, size = len(groups[0].items), groups[0].size
        while count < self._most and size < self._most_bytes and not self._queue.empty():
            group = self._queue.get_nowait()
            groups.append(group)
            count += len(group.items)
            size += group.size
        return groups

    async def _answer(self, groups: list[_Group[T, R]]) -> None:
        try:
            answers = iter(await self._store([item for group in groups for item in group.items]))
        except Unavailable as error:
            return _fail(groups, error)
        for group in groups:
            mine = [next(answers) for _ in group.items]
            if not group.answers.done():
                group.answers.set_result(mine)
        return None

    async def _store(self, items: list[T]) -> list[R | Exception]:
        pause_s = 0.1
        while True:
            try:
                return list(await self._flush(items))
            except Unavailable as error:
                if not self._patient:
                    raise
                logger.warning("{}; trying again in {:.1f} s", error, pause_s)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
                pause_s = min(pause_s * 2, 5.0)
            except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.InternalError) as error:
                if len(items) == 1:
                    return [error]
                # One row that PostgreSQL refuses must not take the others with it.
                middle = len(items) // 2
                return await self._store(items[:middle]) + await self._store(items[middle:])


def _fail(groups: "Sequence[_Group[T, R]]", error: Exception) -> None:
    for group in groups:
        if not group.answers.done():
            group.answers.set_exception(error)
