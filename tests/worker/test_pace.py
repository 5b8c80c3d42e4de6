"""When frames of a worker go: a table of times, in units of GATHER_S."""

import pytest

from hodei_worker.pace import AT_ONCE, GATHER_S, Pace

LONG_AGO = 1_000.0


def waits(*asked_at: float) -> list[float]:
    """How long each frame waits that is asked for then, each sent when its wait is over."""
    pace, found = Pace(), []
    for at in asked_at:
        now = LONG_AGO + at * GATHER_S
        wait_s = max(0.0, pace.wait_s(now))
        pace.sent(now + wait_s)
        found.append(wait_s / GATHER_S)
    return found


@pytest.mark.parametrize(
    ("asked_at", "expected"),
    [
        ([0], [0]),
        ([0, 0, 0, 0], [0, 0, 0, 0]),  # AT_ONCE go without waiting
        ([0, 0, 0, 0, 0, 1, 2], [0, 0, 0, 0, 1, 1, 1]),  # and then one each GATHER_S
        ([0, 0, 0, 0, 0.4], [0, 0, 0, 0, 0.6]),
        ([0, 1, 2, 3, 4, 5, 6, 7], [0] * 8),  # one that comes evenly never waits
        ([0, 0, 0, 0, 2, 2, 2], [0, 0, 0, 0, 0, 0, 1]),  # each pause gives one back
        ([0, 0, 0, 0, 99, 99, 99, 99, 99], [0, 0, 0, 0, 0, 0, 0, 0, 1]),  # and no more than all
    ],
)
def test_frames_wait_as_long_as(asked_at: list[float], expected: list[float]) -> None:
    assert waits(*asked_at) == pytest.approx(expected, abs=1e-6)


def test_frames_that_logs_filled_are_not_held_against_later_ones() -> None:
    """They go without their wait; however many did, the next waits for GATHER_S at most."""
    pace = Pace()
    for _ in range(10 * AT_ONCE):
        pace.sent(LONG_AGO)
    assert pace.wait_s(LONG_AGO) == pytest.approx(GATHER_S)
