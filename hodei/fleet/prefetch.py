"""How many offers a worker gets beyond its slots: enough that short jobs never wait for a round
trip, none where jobs are long."""

MOST = 512
"""Offers beyond the slots of one worker: at 2,000 jobs a second as long as it takes until its
results are recorded and others claimed."""

WORTH_S = 0.2
"""What is sent ahead is at most so much work: a job of higher priority, or another worker, waits no
longer for it."""

RECALL_AFTER_S = 0.5
"""An offer that no slot has taken for so long was sent on a wrong guess: it is asked back, and goes
to whoever is free."""

STALLED_MEAN_S = 60.0


class Prefetch:
    """Of one stream. Counts from the run times that its worker reports; nothing is sent ahead
    before the first."""

    def __init__(self, slots: int, *, able: bool) -> None:
        self._slots = slots
        self._able = able  # the worker understands that offers may be asked back
        self._mean_s = STALLED_MEAN_S if able else float("inf")

    def ran(self, seconds: float) -> None:
        self._mean_s += (max(1e-4, seconds) - self._mean_s) * 0.2

    def stalled(self) -> None:
        self._mean_s = max(self._mean_s, STALLED_MEAN_S)

    @property
    def offers(self) -> int:
        return min(MOST, int(self._slots * WORTH_S / self._mean_s)) if self._able else 0
