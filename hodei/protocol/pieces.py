"""Specs that are too many for one message go in several."""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

PIECE_SPECS, PIECE_BYTES = 1000, 3_000_000
"""Specs and bytes of one message: servers take 1,000 specs and 4 MiB."""


class Sendable(Protocol):
    """A spec as its JSON."""

    @property
    def text(self) -> str: ...


S = TypeVar("S", bound=Sendable)


def pieces(specs: Sequence[S]) -> Iterator[Sequence[S]]:
    """Yields the specs in order, in pieces each as large as a message may be; none is empty. A spec
    that is larger than a piece is one by itself."""
    start, size = 0, 0
    for end, spec in enumerate(specs):
        weight = len(spec.text.encode()) + 8
        if end > start and (size + weight > PIECE_BYTES or end - start == PIECE_SPECS):
            yield specs[start:end]
            start, size = end, 0
        size += weight
    if specs:
        yield specs[start:]
