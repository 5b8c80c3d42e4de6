"""Natural batching: whatever arrives while one round trip to the database is in flight goes
together in the next.

An idle system pays one round trip, and a busy one forms large batches by itself. Creates, accepts
and results, and logs are batched."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from loguru import logger

from hodei.domain.errors import Locked, Unavailable
from hodei.fleet.repeated import Repeated
from hodei.store import halves

T = TypeVar("T")
R = TypeVar("R")

MOST_REST_S = 0.01
"""Seconds of the longest pause after a flush, in which more may gather."""

AGAIN_S = 0.25
"""Seconds between two tries of items whose row somebody else's transaction has locked."""

MOST_LOCKED = 1000
"""Groups that wait for locks at the same time. Further ones get Locked at once."""


class Answers(Protocol[R]):
    """What waits for the answers to a group: a future, or what does more with them at once."""

    def done(self) -> bool: ...
    def set_result(self, answers: list[R | Exception], /) -> None: ...
    def set_exception(self, error: Exception, /) -> None: ...


class _Group(NamedTuple, Generic[T, R]):
    """Items that were submitted together."""

    items: Sequence[T]
    size: int
    answers: Answers[R]


class Batcher(Generic[T, R]):
    """Gathers items and answers each.

    flush      takes the gathered items and returns an answer for each, in order, an error among them;
               one transaction. If it raises for an item that PostgreSQL or the program refuses, that
               one is found by halves (store/halves.py) and gets the error; the others get answers.
    most       items, and
    most_bytes are where gathering stops: a batch is at most one group beyond them.
    waiting    bounds the groups that have not been flushed: when it is full, submit waits, and with
               it the stream that feeds it.
    patient    tries again while the database is away: its callers hold what they sent on their own
               disk. Any other gives them Unavailable at once.
    rest       how many times as long as a flush took it then waits for more to gather, at most.
               Unless it is patient, it rests after a flush of several groups only: whoever comes
               alone does not wait. It ends a rest when as many wait as there are callers, counted
               at its begin: those who were just answered, and those who came meanwhile.
    lock_wait_s  for how long items whose row somebody else has locked are tried again; 0: they get
               Locked at once.
    """

    def __init__(
        self,
        flush: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        most: int,
        most_bytes: int = 1 << 62,
        waiting: int = 10_000,
        patient: bool = False,
        rest: float = 0.0,
        lock_wait_s: float = 0.0,
    ) -> None:
        self._flush = flush
        self._most = most
        self._most_bytes = most_bytes
        self._patient = patient
        self._rest = rest
        self._lock_wait_s = lock_wait_s
        self._queue: asyncio.Queue[_Group[T, R]] = asyncio.Queue(waiting)
        self._locked = 0
        self._callers = 0  # at the begin of the last rest
        self._all_back = asyncio.Event()
        self._ended = False
        self._trouble = Repeated(logger.warning)

    @property
    def full(self) -> bool:
        """Returns whether a further submit would wait."""
        return self._queue.full()

    async def submit(self, item: T, size: int = 0) -> R:
        """The answer to one item of `size` bytes; an error among the answers is raised."""
        (answer,) = await self.submit_all([item], size)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def submit_all(self, items: Sequence[T], size: int = 0) -> list[R | Exception]:
        """The answers to items that come together, of `size` bytes in all: one for each in order,
        errors among them. Unavailable: none was stored."""
        if not items:
            return []
        answers = list(await self._submit(items, size))
        if self._lock_wait_s and any(isinstance(answer, Locked) for answer in answers):
            await self._wait_for_locks(items, answers)
        return answers

    async def _submit(self, items: Sequence[T], size: int) -> list[R | Exception]:
        answers: asyncio.Future[list[R | Exception]] = asyncio.get_running_loop().create_future()
        await self.put(items, size, answers)
        return await answers

    async def put(self, items: Sequence[T], size: int, answers: Answers[R]) -> None:
        """Leaves items, of which there is at least one, to be flushed: `answers` gets what becomes
        of each, in order, or the error of all."""
        await self._queue.put(_Group(items, size, answers))
        if self._queue.qsize() >= self._callers:
            self._all_back.set()
        if self._ended:
            self._refuse([])

    async def _wait_for_locks(self, items: Sequence[T], answers: list[R | Exception]) -> None:
        """Tries the locked items again, each by itself, so that no other item waits with them, and
        puts what they come to into `answers`. One that stays locked keeps its error: its stream
        ends, and its worker says it again when it is back."""
        if self._locked >= MOST_LOCKED:
            return
        self._locked += 1
        try:
            async with asyncio.timeout(self._lock_wait_s):
                while places := [
                    n for n, answer in enumerate(answers) if isinstance(answer, Locked)
                ]:
                    await asyncio.sleep(AGAIN_S)
                    for place in places:
                        (answers[place],) = await halves.each([items[place]], self._flush)
        except (TimeoutError, Unavailable):
            return
        finally:
            self._locked -= 1

    async def run(self) -> None:
        """Flushes what gathers, until it is cancelled; whoever waits then gets Unavailable."""
        groups: list[_Group[T, R]] = []
        loop = asyncio.get_running_loop()
        self._ended = False
        try:
            while True:
                groups = await self._gather()
                begun = loop.time()
                await self._answer(groups)
                if self._rest and (self._patient or len(groups) > 1):
                    took_s = loop.time() - begun
                    await self._wait_for_more(len(groups), min(MOST_REST_S, self._rest * took_s))
        finally:
            self._ended = True
            self._refuse(groups)

    async def _wait_for_more(self, answered: int, most_s: float) -> None:
        """Rests after a flush that has answered so many callers."""
        if self._patient:
            await asyncio.sleep(most_s)
            return
        self._callers = answered + self._queue.qsize()
        self._all_back.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._all_back.wait()

    def _refuse(self, groups: list[_Group[T, R]]) -> None:
        """Gives Unavailable to these and to all that wait to be flushed."""
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
        """Flushes groups and answers them. Whatever goes wrong goes to them, and ends nothing
        here."""
        try:
            answers = iter(await self._store([item for group in groups for item in group.items]))
            for group in groups:
                mine = [next(answers) for _ in group.items]
                if not group.answers.done():
                    group.answers.set_result(mine)
        except Exception as error:  # noqa: BLE001  each caller gets it, and tells or logs it
            _fail(groups, error)

    async def _store(self, items: list[T]) -> list[R | Exception]:
        pause_s = 0.1
        while True:
            try:
                answers = await halves.each(items, self._flush)
            except Unavailable as error:
                if not self._patient:
                    raise
                self._trouble.meet(f"{error}; trying again")
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
                pause_s = min(pause_s * 2, 5.0)
            else:
                self._trouble.end()
                return answers


def _fail(groups: "Sequence[_Group[T, R]]", error: Exception) -> None:
    for group in groups:
        if not group.answers.done():
            group.answers.set_exception(error)
