"""The pace of a busy worker's frames. It reads no clock: the caller passes the time."""

GATHER_S = 0.1
"""Seconds between two frames of a busy worker. Messages that come meanwhile go in one frame: most
short jobs are then accepted and ended by the same frame."""

AT_ONCE = 4
"""Frames that are sent without waiting after a pause. A worker that runs one job after another
therefore never waits."""


class Pace:
    """Allows AT_ONCE frames at once and then one each GATHER_S seconds. Each pause of GATHER_S
    gives one frame back. All times are seconds of one clock."""

    def __init__(self) -> None:
        self._due_at = 0.0  # when the next frame would be due if frames came evenly

    def wait_s(self, now: float) -> float:
        """Seconds that the next frame should wait for more messages; 0 or less: it is sent at
        once."""
        return self._due_at - (AT_ONCE - 1) * GATHER_S - now

    def sent(self, now: float) -> None:
        """A frame is sent now. One that did not wait, because logs filled it or the worker has
        nothing left to run, does not delay later frames: no wait is longer than GATHER_S."""
        self._due_at = min(max(self._due_at, now) + GATHER_S, now + AT_ONCE * GATHER_S)
