"""Pages of a list: a list ends at so many entries or so many bytes, and says whether it goes on.

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
    ended_by: str
    """`end`: the list has no more; `count`: the page has as many as were asked for; `bytes`."""


async def read_page(read: Callable[[T | None, int], Awaitable[list[T]]], most: int) -> Page[T]:
    """Reads at most `most` entries. `read` gives so many of those that follow an entry, or, for
    None, the first ones."""
    entries: list[T] = []
    size = 0
    while len(entries) < most:
        count = min(STEP, most - len(entries))
        found = await read(entries[-1] if entries else None, count)
        for entry in found:
            size += size_of(entry)
            if size > PAGE_BYTES and entries:
                return Page(entries, "bytes")
            entries.append(entry)
        if len(found) < count:
            return Page(entries, "end")
    return Page(entries, "count")
