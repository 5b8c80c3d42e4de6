"""When the next frame of a busy worker may go. Pure: the caller says what time it is."""

GATHER_S = 0.06
"""Seconds between two frames of a busy worker. What comes meanwhile goes together: then most short
jobs are accepted and ended in one frame."""

AT_ONCE = 4
"""Frames that go without waiting when there were none for a while: whoever runs one job after
another waits for nothing."""


class Pace:
    """Lets AT_ONCE frames go at once and then one each GATHER_S. A pause of GATHER_S gives one
    frame back. All times are seconds of one clock."""

    def __init__(self) -> None:
        self._due_at = 0.0  # of the next frame, if they came evenly

    def wait_s(self, now: float) -> float:
        """How long the next frame should wait for more; 0 or less: it goes at once."""
        return self._due_at - (AT_ONCE - 1) * GATHER_S - now

    def sent(self, now: float) -> None:
        """A frame goes now. One that did not wait, because logs filled it, is not held against the
        frames that come later: no wait is longer than GATHER_S."""
        self._due_at = min(max(self._due_at, now) + GATHER_S, now + AT_ONCE * GATHER_S)
