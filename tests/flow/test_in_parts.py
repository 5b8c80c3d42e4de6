"""How large the parts of a long list are."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from hodei.flow.in_parts import SHORT_S, in_parts


def sizes(number: int, takes_s: Callable[[int], float]) -> list[int]:
    """The sizes of the parts of a list, of which 2 items come first and 8 at most together."""
    seen: list[int] = []

    async def double(part: list[int]) -> list[int]:
        seen.append(len(part))
        await asyncio.sleep(takes_s(len(part)))
        return [2 * item for item in part]

    items = range(number)
    answers = asyncio.run(in_parts(items, 2, 8, nullcontext, double))
    assert answers == [2 * item for item in items]
    return seen


def test_parts_grow_while_they_are_fast_and_shrink_when_they_are_slow() -> None:
    assert sizes(0, lambda _: 0) == []
    assert sizes(25, lambda _: 0) == [2, 4, 8, 8, 3]
    assert sizes(11, lambda size: SHORT_S + 0.01 if size >= 4 else 0) == [2, 4, 2, 3]
    assert sizes(3, lambda _: SHORT_S + 0.01) == [2, 1]


def test_what_fails_ends_the_list_there() -> None:
    done: list[int] = []

    async def note(part: list[int]) -> list[int]:
        if 5 in part:
            raise ValueError
        done.extend(part)
        return part

    with pytest.raises(ValueError):
        asyncio.run(in_parts(range(20), 2, 8, nullcontext, note))
    assert done == [0, 1]
