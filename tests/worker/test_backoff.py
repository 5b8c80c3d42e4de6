"""Pauses between tries: what they are drawn from."""

import random

import pytest

from hodei_worker.backoff import Backoff


@pytest.fixture(autouse=True)
def dice() -> None:
    random.seed(12)


def drawn(tries: int, **settings: float) -> list[list[float]]:
    """For each try, 300 pauses."""
    sequences = [Backoff(**settings) for _ in range(300)]
    return [[backoff.next_s() for backoff in sequences] for _ in range(tries)]


@pytest.mark.parametrize(
    ("settings", "bounds"),
    [
        ({}, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]),
        ({"first_s": 0.5, "longest_s": 3.0}, [0.5, 1.0, 2.0, 3.0, 3.0]),
        ({"first_s": 4.0, "longest_s": 3.0}, [3.0, 3.0]),
    ],
)
def test_each_pause_is_drawn_below_a_bound_that_doubles(
    settings: dict[str, float], bounds: list[float]
) -> None:
    for pauses, bound in zip(drawn(len(bounds), **settings), bounds, strict=True):
        assert 0.05 <= min(pauses) <= 0.05 + bound / 10, "a fleet must not come back as one"
        assert 0.9 * bound <= max(pauses) <= bound


def test_after_a_success_pauses_are_short_again() -> None:
    again = []
    for _ in range(300):
        backoff = Backoff()
        for _ in range(9):
            backoff.next_s()
        backoff.reset()
        again.append(backoff.next_s())
    assert max(again) <= 0.2
