"""Quotas and turns: who is refused, who waits, and who is served next."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from hodei.access import turns
from hodei.access.limits import Quota
from hodei.access.principal import Caller
from hodei.access.readings import Readings
from hodei.access.shared import SharedReading
from hodei.access.turns import Turns
from hodei.domain.errors import Exhausted, Unavailable
from hodei.rpc.principal import calling


def test_a_quota_refuses_in_words_what_is_beyond_it_in_all_or_for_an_address() -> None:
    quota = Quota("calls", 3, 2)
    quota.acquire("a")
    quota.acquire("a")
    with pytest.raises(Exhausted, match="2 calls from this address already: expected at most 2"):
        quota.acquire("a")
    quota.acquire("b")
    with pytest.raises(Exhausted, match="this server has 3 calls already"):
        quota.acquire("c")
    quota.give_back("a")
    quota.acquire("c")


def test_the_last_tenth_of_a_quota_is_for_addresses_that_have_few() -> None:
    quota = Quota("calls", 40, 20)
    quota.acquire("a", 20)
    quota.acquire("b", 16)
    with pytest.raises(Exhausted, match="this server has 36 calls already: expected at most 36"):
        quota.acquire("b")
    quota.acquire("c", 2)
    with pytest.raises(Exhausted, match="expected at most 36"):
        quota.acquire("c")
    quota.acquire("d", 2)
    with pytest.raises(Exhausted, match="this server has 40 calls already: expected at most 40"):
        quota.acquire("e")


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:40312", "192.0.2.1"),
        ("ipv6:%5B::1%5D:40312", "::1"),
        ("ipv6:%5B::ffff:192.0.2.1%5D:40312", "192.0.2.1"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:1", "2001:db8:1:2::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::/64"),
        ("unix:", "unix:"),
    ],
)
def test_an_address_is_that_of_the_host_or_its_network(peer: str, address: str) -> None:
    assert calling(peer) == Caller(address, peer)


def served(room: int, callers: list[tuple[Caller, int]]) -> list[Caller]:
    """Who is served in which order when all ask at once and each holds its turn for a moment."""
    order: list[Caller] = []

    async def ask(turns: Turns, who: Caller, weight: int) -> None:
        async with turns.of(who, weight):
            order.append(who)
            await asyncio.sleep(0.001)

    async def run() -> None:
        turns = Turns("to be tested", room)
        async with asyncio.TaskGroup() as group:
            for who, weight in callers:
                group.create_task(ask(turns, who, weight))
        assert (turns._free, turns._held, turns._waiting) == (room, {}, {})

    asyncio.run(run())
    return order


FLOOD, SAME, OTHER = Caller("a", "a:1"), Caller("a", "a:2"), Caller("b", "b:1")


def test_a_flood_delays_another_connection_and_another_address_by_one_turn() -> None:
    order = served(2, [(FLOOD, 1)] * 100 + [(SAME, 1), (OTHER, 1)])
    assert len(order) == 102
    assert order.index(OTHER) <= 1
    assert order.index(SAME) <= 3


def test_an_address_has_no_more_than_half_of_the_room() -> None:
    async def run() -> None:
        turns = Turns("to be tested", 4)
        async with turns.of(FLOOD), turns.of(SAME):
            waiting = asyncio.get_running_loop().create_task(enter(turns, FLOOD))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            async with turns.of(OTHER, 2):
                pass
        await waiting

    asyncio.run(run())


def test_the_turns_of_a_key_are_its_own_wherever_it_calls_from() -> None:
    here, there = Caller("a", "a:1", "key 1"), Caller("b", "b:1", "key 1")
    other = Caller("a", "a:1", "key 2")

    async def run() -> None:
        turns = Turns("to be tested", 4)
        async with turns.of(here), turns.of(there):
            waiting = asyncio.get_running_loop().create_task(enter(turns, there))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            async with turns.of(other, 2):
                pass
        await waiting

    asyncio.run(run())


async def enter(turns: Turns, who: Caller, weight: int = 1) -> None:
    async with turns.of(who, weight):
        pass


def test_a_newcomer_has_the_turn_of_a_slow_reading_and_no_last_one_is_taken() -> None:
    async def run() -> None:
        turns, readings, told = Turns("to be tested", 4), Readings(), Counter[str]()
        looks = asyncio.get_running_loop().create_task(readings.run())

        async def read(who: Caller, takes_s: float) -> None:
            try:
                async with turns.of(who):
                    await readings.within_time(asyncio.sleep(takes_s), 10, turns, who)
                told[f"{who.address} was read"] += 1
            except Exhausted as error:
                assert "its turn was given to others" in str(error)
                told[f"{who.address} was ended"] += 1

        async with asyncio.TaskGroup() as group:
            for who in (FLOOD, FLOOD, OTHER, OTHER):
                group.create_task(read(who, 1.2))
            await asyncio.sleep(0.01)
            for address in "cdefg":
                group.create_task(read(Caller(address, ""), 0.4))
        looks.cancel()
        assert told.pop("a was ended") == told.pop("b was ended") == 1
        assert told == {f"{address} was read": 1 for address in "abcdefg"}

    asyncio.run(run())


def test_what_weighs_more_than_all_room_has_its_turn_alone() -> None:
    assert served(4, [(FLOOD, 9), (OTHER, 1), (FLOOD, 9)]).count(FLOOD) == 2


def test_who_waits_too_long_is_refused_and_who_leaves_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "WAIT_S", 0.05)

    async def run() -> None:
        turns = Turns("to be tested", 1)
        async with turns.of(FLOOD):
            with pytest.raises(Exhausted, match="without a turn to be tested"):
                await enter(turns, OTHER)
            left = asyncio.get_running_loop().create_task(enter(turns, OTHER))
            await asyncio.sleep(0.01)
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
        await enter(turns, OTHER)
        assert turns._free == 1

    asyncio.run(run())


def shared(
    read: Callable[[], Awaitable[int]],
    scenario: Callable[[SharedReading[int]], Coroutine[Any, Any, None]],
) -> None:
    async def run() -> None:
        await scenario(SharedReading(read))

    asyncio.run(run())


def test_who_asks_together_shares_one_reading_that_began_after_they_asked() -> None:
    readings = 0

    async def read() -> int:
        nonlocal readings
        readings += 1
        mine = readings
        await asyncio.sleep(0.02)
        return mine

    async def scenario(answers: SharedReading[int]) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(answers.get())
            await asyncio.sleep(0.005)
            later = [group.create_task(answers.get()) for _ in range(50)]
        assert first.result() == 1
        assert {task.result() for task in later} == {2}
        assert readings == 2
        assert await answers.get() == 3
        assert answers._value is None

    shared(read, scenario)


def test_a_reading_that_fails_fails_for_all_who_wait_for_it() -> None:
    readings = 0

    async def read() -> int:
        nonlocal readings
        readings += 1
        await asyncio.sleep(0.01)
        raise Unavailable("the database is away")

    async def scenario(answers: SharedReading[int]) -> None:
        tasks = [asyncio.get_running_loop().create_task(answers.get()) for _ in range(50)]
        await asyncio.wait(tasks)
        assert all(isinstance(task.exception(), Unavailable) for task in tasks)
        assert readings <= 2

    shared(read, scenario)
