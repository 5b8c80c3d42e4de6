"""Rows that somebody's transaction had locked a moment ago. What was to be written there has not come
yet, so that what the row says is no ground for a judgement."""

import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from hodei.domain.timing import HEARTBEAT_S

Key = TypeVar("Key")

SPARED_S = 2 * HEARTBEAT_S
"""Seconds after a lock in which a heartbeat comes, though one is late. What was reported of a job is
tried again much sooner."""


class LatelyLocked(Generic[Key]):
    """The keys of rows that were locked in a look of the last SPARED_S. A server that has just started
    knows of none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: dict[Key, float] = {}

    def note(self, locked: Iterable[Key]) -> list[Key]:
        """Notes what is locked now. Returns all that are to be spared."""
        now = self._clock()
        lately = {key: at for key, at in self._at.items() if at > now - SPARED_S}
        self._at = lately | dict.fromkeys(locked, now)
        return list(self._at)
