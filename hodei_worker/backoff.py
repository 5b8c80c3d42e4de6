"""Full jitter: each pause is drawn between 0 and a bound that doubles, so that a fleet that lost
its server does not return as one."""

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
