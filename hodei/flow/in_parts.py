"""A long list is worked off in transactions that are as large as they are fast.

How long a row takes nobody knows before: its spec may be large, somebody's trigger slow, the machine
busy. A statement may run for MOST_S (store/statements.py), others wait for its rows, and each part
is a turn at the database that other callers wait for."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

SHORT_S = 0.3
"""After a part of fewer seconds the next one has twice as many items, else half as many."""


async def in_parts(
    items: Sequence[Item],
    first: int,
    most: int,
    turn: Callable[[], AbstractAsyncContextManager[object]],
    act: Callable[[list[Item]], Awaitable[Sequence[Answer]]],
) -> list[Answer]:
    """Has `act` answer for each item, in order, each part in a turn of its own: `first` items in the
    first, `most` at most in any. Errors of `turn` and of `act` are raised; what was done stands."""
    answers: list[Answer] = []
    size = first
    while part := list(items[len(answers) : len(answers) + size]):
        async with turn():
            begun = time.monotonic()
            answers += await act(part)
            is_short = time.monotonic() - begun < SHORT_S
        size = min(size * 2, most) if is_short else max(size // 2, 1)
    return answers
