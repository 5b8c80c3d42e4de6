"""When frames go, by a clock of the test's own."""

import pytest

from hodei_worker.pace import AT_ONCE, GATHER_S, Pace


def waits(pace: Pace, *asked_at: float) -> list[float]:
    """How long each frame waits that is ready at these times."""
    found = []
    for now in asked_at:
        early_s = pace.early_s(now)
        pace.goes(now + early_s)
        found.append(early_s)
    return found


def test_a_few_frames_go_at_once_and_the_rest_evenly() -> None:
    found = waits(Pace(), *[100.0] * (AT_ONCE + 3))
    assert found[:AT_ONCE] == [0.0] * AT_ONCE
    assert found[AT_ONCE:] == pytest.approx([GATHER_S, 2 * GATHER_S, 3 * GATHER_S])


def test_who_runs_one_job_after_another_waits_for_nothing() -> None:
    assert waits(Pace(), *(100 + n * GATHER_S for n in range(50))) == [0.0] * 50


def test_after_a_quiet_time_a_few_go_at_once_again() -> None:
    pace = Pace()
    waits(pace, *[100.0] * 20)
    assert waits(pace, *[200.0] * AT_ONCE) == [0.0] * AT_ONCE


def test_frames_that_go_early_do_not_count_against_others() -> None:
    pace = Pace()
    for _ in range(1000):
        pace.goes(100.0)  # heavy with logs: they wait for nothing
    assert pace.early_s(100.0) <= GATHER_S
