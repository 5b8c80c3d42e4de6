"""How many offers a worker gets beyond its slots: enough that short jobs never wait for a round
trip, none where jobs are long."""

from hodei.protocol.bounds import MOST_AHEAD

WORTH_S = 0.2
"""Seconds of work that are sent ahead at most: a job of higher priority, or another worker, waits
no longer for it."""

RECALL_AFTER_S = 0.5
"""Seconds after which an offer that no slot has taken was sent on a wrong guess: it is asked back,
and goes to a worker with a free slot."""

STALLED_MEAN_S = 60.0
"""The run time that is assumed of a worker's jobs before the first has ended, and after a recall:
then nothing is sent ahead."""


class OffersAhead:
    """The guess for one stream, from the run times that its worker reports."""

    def __init__(self, slots: int, *, able: bool) -> None:
        """`able`: the worker understands that offers may be asked back."""
        self._slots = slots
        self._able = able
        self._mean_s = STALLED_MEAN_S if able else float("inf")

    def record_run(self, seconds: float) -> None:
        """Counts the run time of a job that has ended."""
        self._mean_s += (max(1e-4, seconds) - self._mean_s) * 0.2

    def record_stall(self) -> None:
        """Counts that an offer waited too long: the jobs at hand are longer than the mean says."""
        self._mean_s = max(self._mean_s, STALLED_MEAN_S)

    @property
    def offers(self) -> int:
        """Offers that the worker may have beyond its slots now."""
        return min(MOST_AHEAD, int(self._slots * WORTH_S / self._mean_s)) if self._able else 0
