"""A long list of jobs is changed in transactions whose size follows from how long they take.

Nobody knows before how long a job takes: its spec may be large, somebody's trigger slow, the machine
busy. A statement may run for MOST_S (store/statements.py), and other callers wait for its turn at the
database."""

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
    """Calls `act` for one part after the other, each in a turn of its own, and returns its answers: one
    for each item, in order. The first part has `first` items, none more than `most`. Errors of `turn`
    and of `act` are raised; what was done before stands."""
    answers: list[Answer] = []
    size = first
    while part := list(items[len(answers) : len(answers) + size]):
        async with turn():
            begun = time.monotonic()
            answers += await act(part)
            is_short = time.monotonic() - begun < SHORT_S
        size = min(size * 2, most) if is_short else max(size // 2, 1)
    return answers
