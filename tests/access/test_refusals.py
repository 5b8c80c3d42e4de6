"""Refusals are slowed, and of one address only some a second."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from hodei.access import refusals
from hodei.access.refusals import A_SECOND, PAUSE_S, Refusals
from hodei.domain.errors import Exhausted


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(refusals, "time", SimpleNamespace(monotonic=lambda: seconds))


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands still."""
    set_clock(monkeypatch, 1000.5)


async def refused(refuse: Refusals, address: str, times: int) -> list[object]:
    calls = (refuse.slow_down(address) for _ in range(times))
    return await asyncio.gather(*calls, return_exceptions=True)


def test_a_refusal_takes_its_time(still: None) -> None:
    begun = time.perf_counter()
    assert asyncio.run(refused(Refusals(), "192.0.2.1", A_SECOND)) == [None] * A_SECOND
    assert PAUSE_S <= time.perf_counter() - begun < 8 * PAUSE_S


def test_one_that_comes_too_often_is_told_so_and_others_are_not(still: None) -> None:
    async def run() -> None:
        refuse = Refusals()
        first = await refused(refuse, "192.0.2.1", A_SECOND + 5)
        assert sum(isinstance(one, Exhausted) for one in first) == 5
        assert await refused(refuse, "192.0.2.2", 1) == [None]

    asyncio.run(run())


def test_a_second_later_it_may_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        refuse = Refusals()
        set_clock(monkeypatch, 1000.0)
        await refused(refuse, "192.0.2.1", A_SECOND)
        set_clock(monkeypatch, 1001.0)
        assert await refused(refuse, "192.0.2.1", 1) == [None]

    asyncio.run(run())


def test_addresses_beyond_the_bound_are_counted_as_one(
    still: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MOST_ADDRESSES", 2)
    monkeypatch.setattr(refusals, "PAUSE_S", 0)

    async def run() -> None:
        refuse = Refusals()
        last = [await refused(refuse, f"192.0.2.{n}", 1) for n in range(A_SECOND + 3)]
        assert isinstance(last[-1][0], Exhausted)

    asyncio.run(run())
