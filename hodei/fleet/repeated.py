"""What a loop meets again and again, as long as a fault lasts, is logged once a minute and not in
each of its turns."""

import time
from collections.abc import Callable

AGAIN_S = 60.0


class Repeated:
    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` logs a line."""
        self._say = say
        self._words = ""
        self._said_at = 0.0  # by time.monotonic()

    def meet(self, words: str) -> None:
        """Says what was met: other words than before at once, the same ones each AGAIN_S."""
        now = time.monotonic()
        if words != self._words or now - self._said_at >= AGAIN_S:
            self._words, self._said_at = words, now
            self._say(words)

    def end(self) -> None:
        """It is over: what comes next is said at once."""
        self._words = ""
