"""Pauses between attempts, with jitter: each is drawn at random between 0.05 s and a bound that
doubles, so that the workers of a lost server do not all return at the same moment."""

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    first_s: float = 0.2
    longest_s: float = 10.0
    _bound_s: float = 0.0

    def next_s(self) -> float:
        self._bound_s = min(self.longest_s, max(self.first_s, self._bound_s * 2))
        return random.uniform(0.05, self._bound_s)  # noqa: S311

    def reset(self) -> None:
        self._bound_s = 0.0
