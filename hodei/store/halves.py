"""No statement over many rows fails for one of them: the one at fault is found by halves.

A statement for n items that fails is tried for half of them; which half holds the fault is then
known, and so on: after log2(n) statements it is one item. What was left aside on the way goes in
one statement more. If that fails too there are several, and each half is searched in its turn."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from hodei.domain.errors import HodeiError, Locked

T = TypeVar("T")
R = TypeVar("R")

MOST_FAILURES = 40
"""Statements that may fail in one search: where so many do, it is not for a few rows, and all that
are left get the last error."""


def is_of_an_item(error: BaseException) -> bool:
    """Whether other items may succeed where this error came: not when the database is away. A row
    that somebody else has locked is such an item."""
    return isinstance(error, Exception) and (
        isinstance(error, Locked) or not isinstance(error, HodeiError)
    )


async def each(
    items: Sequence[T], act: Callable[[list[T]], Awaitable[Sequence[R | Exception]]]
) -> list[R | Exception]:
    """An answer of `act` for each item, in order, or the error that its row gives. `act` must be
    one transaction. Errors that are of no item go up (Unavailable)."""
    return await _Search(act).answers(list(items))


class _Search(Generic[T, R]):
    """One search; counts the statements that failed in it."""

    def __init__(self, act: Callable[[list[T]], Awaitable[Sequence[R | Exception]]]) -> None:
        self._act = act
        self._failures = 0

    async def answers(self, items: list[T], *, one_culprit: bool = True) -> list[R | Exception]:
        """`one_culprit`: it is looked for in the fewest statements. Else several are expected, and
        each half is searched in its turn."""
        if not items:
            return []
        found = await self._try(items)
        if not isinstance(found, Exception):
            return list(found)
        if len(items) == 1 or self._failures >= MOST_FAILURES:
            return [found for _ in items]
        if one_culprit:
            return await self._without_culprit(items, found)
        middle = len(items) // 2
        first: list[R | Exception] = await self.answers(items[:middle], one_culprit=False)
        return first + await self.answers(items[middle:], one_culprit=False)

    async def _try(self, items: list[T]) -> Sequence[R | Exception] | Exception:
        try:
            return await self._act(items)
        except Exception as error:
            if not is_of_an_item(error):
                raise
            self._failures += 1
            return error

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
