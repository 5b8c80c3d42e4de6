"""States, and causes of a wait, as rows and messages have them. A hand may have put another word
there, or a newer release: one such row must not cost the answer of all others."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

UNREADABLE = "UNREADABLE"

S = TypeVar("S", bound=StrEnum)


def state_of(kind: type[S], word: str) -> S:
    """Returns the state of this word. For a word that is none it is UNREADABLE, which is no member
    of `kind` and in no set of its members."""
    try:
        return kind(word)
    except ValueError:
        odd = str.__new__(kind, UNREADABLE)
        odd._name_ = odd._value_ = UNREADABLE
        return odd


def counted(kind: type[S], rows: Iterable[tuple[str, int]]) -> dict[S, int]:
    """Returns the numbers by state; those of all words that are none come together."""
    found: Counter[S] = Counter()
    for word, number in rows:
        found[state_of(kind, word)] += number
    return dict(found)
