"""Pages of a list: a page ends at a number of entries or of bytes, and says whether the list may go
on.

What a client does not take stays in our memory: so pages are small, and there are more of them."""

from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from hodei.shapes.size import size_of

T = TypeVar("T")

PAGE_BYTES = 256 << 10
"""Bytes of the entries of one page; a larger entry is a page by itself."""

STEP = 100
"""Entries that are read at a time: some 5 MB at most, with their labels."""


class Page(NamedTuple, Generic[T]):
    """Entries of a list, in its order."""

    entries: list[T]
    more: bool
    """Whether the list may go on: the page ended at its number of entries or of bytes."""


async def read_page(read: Callable[[T | None, int], Awaitable[list[T]]], most: int) -> Page[T]:
    """Reads at most `most` entries. `read(entry, count)` returns up to `count` of those that follow
    an entry, or, for None, the first ones."""
    entries: list[T] = []
    size = 0
    while len(entries) < most:
        count = min(STEP, most - len(entries))
        found = await read(entries[-1] if entries else None, count)
        for entry in found:
            size += size_of(entry)
            if size > PAGE_BYTES and entries:
                return Page(entries, more=True)
            entries.append(entry)
        if len(found) < count:
            return Page(entries, more=False)
    return Page(entries, more=True)
