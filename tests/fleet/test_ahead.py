"""How many offers a worker gets beyond its slots, by the run times that it reports."""

import pytest

from hodei.fleet.ahead import OffersAhead
from hodei.protocol.bounds import MOST_AHEAD


def after(*ran_s: float, slots: int = 8, able: bool = True) -> int:
    ahead = OffersAhead(slots, able=able)
    for seconds in ran_s:
        ahead.record_run(seconds)
    return ahead.offers


@pytest.mark.parametrize(
    ("each_s", "slots", "offers"),
    [
        (0.001, 8, MOST_AHEAD),  # 1,600 would be 0.2 s of work: bounded
        (0.01, 8, 160),
        (0.1, 8, 16),
        (0.2, 8, 8),
        (1.0, 8, 1),
        (1.7, 8, 0),  # one more would wait longer than 0.2 s
        (60.0, 8, 0),
        (0.1, 1, 2),
        (0.0, 8, MOST_AHEAD),  # a clock that stands still divides by nothing
        (-5.0, 8, MOST_AHEAD),  # nor does one that went back
    ],
)
def test_as_many_as_the_slots_run_in_a_fifth_of_a_second(
    each_s: float, slots: int, offers: int
) -> None:
    assert after(*[each_s] * 200, slots=slots) == pytest.approx(offers, abs=1)


@pytest.mark.parametrize("slots", [1, 8, 100])
def test_nothing_goes_ahead_before_the_first_result(slots: int) -> None:
    assert after(slots=slots) == 0


def test_a_worker_that_cannot_give_back_gets_none_ahead() -> None:
    assert after(*[0.001] * 500, able=False) == 0


def test_a_single_result_says_little() -> None:
    assert after(0.001) == 0
    assert after(*[0.01] * 200, 2.0) < after(*[0.01] * 200) / 10, "a long one is heard at once"


def test_after_offers_were_asked_back_it_begins_anew() -> None:
    ahead = OffersAhead(8, able=True)
    for _ in range(200):
        ahead.record_run(0.01)
    ahead.record_stall()
    assert ahead.offers == 0
    for _ in range(10):
        ahead.record_run(0.01)
    assert ahead.offers == 0, "ten short ones after a stall are no proof"
    for _ in range(50):
        ahead.record_run(0.01)
    assert ahead.offers > 100
