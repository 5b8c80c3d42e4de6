"""Natural batching: whatever arrives while one round trip to the database is in flight goes together in the next.

No timers: an idle system pays one round trip, a busy one forms large batches by itself. Used for creates, accepts and results, and logs.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

import psycopg
from loguru import logger

from hodei.domain.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")


class _Waiting(NamedTuple, Generic[T, R]):
    item: T
    size: int
    answer: asyncio.Future[R]


class Batcher(Generic[T, R]):
    """`flush` takes the gathered items and returns an answer for each, in order; it must be one transaction.

    `most` and `most_bytes` bound a batch; `waiting` bounds what has not been flushed: when it is full, submit waits, and with it the stream
    that feeds it. A patient batcher tries again while the database is away (its callers hold what they sent on their own disk); any other
    gives its callers Unavailable at once.
    """

    def __init__(
        self,
        flush: Callable[[list[T]], Awaitable[list[R]]],
        *,
        most: int,
        most_bytes: int = 1 << 62,
        waiting: int = 10_000,
        patient: bool = False,
    ) -> None:
        self._flush = flush
        self._most = most
        self._most_bytes = most_bytes
        self._patient = patient
        self._queue: asyncio.Queue[_Waiting[T, R]] = asyncio.Queue(waiting)
        self._left_over: _Waiting[T, R] | None = None  # taken from the queue, but too big for the batch before

    async def submit(self, item: T, size: int = 0) -> R:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Waiting(item, size, answer))
        return await answer

    async def run(self) -> None:
        """The service; ends only when cancelled, and then leaves nobody waiting."""
        batch: list[_Waiting[T, R]] = []
        try:
            while True:
                batch = await self._gather()
                await self._answer(batch)
        finally:
            self._queue.shutdown() if hasattr(self._queue, "shutdown") else None
            left = batch + ([self._left_over] if self._left_over else [])
            while not self._queue.empty():
                left.append(self._queue.get_nowait())
            for entry in left:
                if not entry.answer.done():
                    entry.answer.set_exception(Unavailable("this server is shutting down; ask another one"))

    async def _gather(self) -> list[_Waiting[T, R]]:
        first = self._left_over or await self._queue.get()
        self._left_over = None
        batch, size = [first], first.size
        while len(batch) < self._most and not self._queue.empty():
            entry = self._queue.get_nowait()
            if size + entry.size > self._most_bytes:
                self._left_over = entry
                break
            batch.append(entry)
            size += entry.size
        return batch

    async def _answer(self, batch: list[_Waiting[T, R]]) -> None:
        pause_s = 0.1
        while True:
            try:
                answers = await self._flush([entry.item for entry in batch])
            except Unavailable as error:
                if not self._patient:
                    return self._fail(batch, error)
                logger.warning("{}; trying again in {:.1f} s", error, pause_s)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
                pause_s = min(pause_s * 2, 5.0)
            except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.InternalError) as error:
                if len(batch) == 1:
                    return self._fail(batch, error)
                # One row that PostgreSQL refuses must not take the others with it.
                middle = len(batch) // 2
                await self._answer(batch[:middle])
                return await self._answer(batch[middle:])
            else:
                for entry, answer in zip(batch, answers, strict=True):
                    if not entry.answer.done():
                        entry.answer.set_result(answer)
                return None

    @staticmethod
    def _fail(batch: list[_Waiting[T, R]], error: Exception) -> None:
        for entry in batch:
            if not entry.answer.done():
                entry.answer.set_exception(error)
