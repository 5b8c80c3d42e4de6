"""When a frame may go to the server."""

GATHER_S = 0.06
"""Between two frames of a busy worker, so that what it says goes together: then most short jobs are
accepted and ended in one."""

AT_ONCE = 4
"""Frames that need not wait for that, when there were none for a while: whoever runs one job after
another waits for nothing."""


class Pace:
    """Frames go GATHER_S apart, but for up to AT_ONCE that a quiet time has left over. Times are of
    any clock that only goes forward, in seconds."""

    def __init__(self) -> None:
        self._due_at = 0.0  # of the next frame, if they came evenly

    def early_s(self, now: float) -> float:
        """How long the next frame has to wait; 0: it may go."""
        return max(0.0, self._due_at - (AT_ONCE - 1) * GATHER_S - now)

    def goes(self, now: float) -> None:
        """A frame goes now. One that went early, as its logs were heavy, does not count against
        others: what is owed never grows beyond AT_ONCE frames."""
        self._due_at = min(max(self._due_at, now) + GATHER_S, now + AT_ONCE * GATHER_S)
