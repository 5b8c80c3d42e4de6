"""No statement over many rows fails for one of them: the row at fault is found by halves.

A statement for n items that fails is tried for half of them: then it is known which half holds the
fault, and that half is tried by halves in its turn. After log2(n) statements one item is left. The
items that were left aside on the way go into one more statement. If that fails, too, there are
several faults, and each half is searched.

A time-out need not be one item's: all of them may be slow. So each half is tried. Once one has
succeeded it is known how long an item takes, and no statement gets more items than fit into
PART_S."""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

from hodei.domain.errors import HodeiError, Locked, Unavailable
from hodei.store import sqlstate

T = TypeVar("T")
R = TypeVar("R")

MOST_FAILURES = 40
"""Statements that may fail in one search. Where more fail it is not for a few rows: all items that
are left get the last error."""

MOST_SLOW = 12
"""The same for those that a time-out has ended. One item among 500 is found in fewer; what is left
of several is found by the next search, and meanwhile the others have their turn."""

PART_S = 0.3
"""Seconds that a statement of a search may take after a time-out, as far as is known before: less
than MOST_SEARCHING_S (store/statements.py), which ends it."""

MOST_SEARCH_S = 8.0
"""Seconds of a search after a time-out. Then the items that are left get its error: what was claimed
must be offered within 10 s, and others wait."""

after_a_slow_one: ContextVar[bool] = ContextVar("after_a_slow_one", default=False)
"""Whether a time-out has ended a statement for some of the same items: whatever comes for them now
may run a shorter time only (store/statements.py)."""


@contextmanager
def after(error: BaseException | None) -> Iterator[None]:
    """In this block what has failed with an error is tried again: after a time-out only briefly."""
    token = after_a_slow_one.set(sqlstate.is_slow(error) or after_a_slow_one.get())
    try:
        yield
    finally:
        after_a_slow_one.reset(token)


def is_of_an_item(error: BaseException) -> bool:
    """Returns whether the error is that of one item, and others may succeed: not when the database
    is away. A row that somebody else has locked is such an item."""
    return isinstance(error, Exception) and (
        isinstance(error, Locked) or not isinstance(error, HodeiError)
    )


async def each(
    items: Sequence[T],
    act: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
    before: BaseException | None = None,
) -> list[R | Exception]:
    """Returns the answer of `act` for each item, in order, or the error that its row gives. `act`
    must be one transaction; `before`: with what it has failed already. Errors that are not of an
    item are raised (Unavailable): so is a time-out that no function of somebody explains, and that
    each of them has met."""
    with after(before):
        answers = await _Search(act).answers(list(items))
    if answers and all(sqlstate.is_of_no_function(answer) for answer in answers):
        late = answers[0]
        raise Unavailable(str(late)) from getattr(late, "__cause__", None)
    return answers


class _Search(Generic[T, R]):
    """One search; counts the statements that failed in it, and those that a time-out ended, and notes
    how long an item takes."""

    def __init__(self, act: Callable[[list[T]], Awaitable[Sequence[R | Exception]]]) -> None:
        self._act = act
        self._failures = 0
        self._slow = 0
        self._time_out: Exception | None = None  # the last one
        self._over_at = float("inf")  # by time.monotonic()
        self._item_s = 0.0  # seconds for each item of the last success after a time-out

    @property
    def _is_given_up(self) -> bool:
        over = time.monotonic() > self._over_at
        return self._failures >= MOST_FAILURES or self._slow >= MOST_SLOW or over

    async def answers(self, items: list[T], *, one_culprit: bool = True) -> list[R | Exception]:
        """Returns an answer for each item. `one_culprit`: one item is expected to be at fault, and
        is found in the fewest statements; else several are, and each half is searched."""
        if not items:
            return []
        if self._is_given_up or len(items) == 1 or len(items) * self._item_s <= PART_S:
            found = await self._try(items)
            if not isinstance(found, Exception):
                return list(found)
            if len(items) == 1 or self._is_given_up:
                return [found for _ in items]
            if one_culprit and not sqlstate.is_slow(found):
                return await self._without_culprit(items, found)
        return await self._of_halves(items)

    async def _of_halves(self, items: list[T]) -> list[R | Exception]:
        middle = len(items) // 2
        first: list[R | Exception] = await self.answers(items[:middle], one_culprit=False)
        return first + await self.answers(items[middle:], one_culprit=False)

    async def _try(self, items: list[T]) -> Sequence[R | Exception] | Exception:
        begun = time.monotonic()
        if self._time_out and begun > self._over_at:
            return self._time_out
        try:
            found = await self._act(items)
        except Exception as error:
            if not is_of_an_item(error):
                raise
            self._failures += 1
            if sqlstate.is_slow(error):
                self._slow += 1
                self._time_out = error
                self._over_at = min(self._over_at, time.monotonic() + MOST_SEARCH_S)
                after_a_slow_one.set(True)
            return error
        if after_a_slow_one.get():
            self._item_s = (time.monotonic() - begun) / len(items)
        return found

    async def _without_culprit(self, items: list[T], error: Exception) -> list[R | Exception]:
        answers: dict[int, R | Exception] = {}
        suspects, left = list(range(len(items))), []
        while len(suspects) > 1:
            half, others = suspects[: len(suspects) // 2], suspects[len(suspects) // 2 :]
            found = await self._try([items[place] for place in half])
            if isinstance(found, Exception):
                error, suspects = found, half
                left += others
            else:
                answers |= dict(zip(half, found, strict=True))
                suspects = others
        answers[suspects[0]] = error
        rest = sorted(left)
        of_rest = await self.answers([items[place] for place in rest], one_culprit=False)
        answers |= dict(zip(rest, of_rest, strict=True))
        return [answers[place] for place in range(len(items))]
