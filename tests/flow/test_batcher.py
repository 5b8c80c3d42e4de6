"""Natural batching: what gathers, which item a refusal costs, who is patient, and how it ends. On a
clock that jumps over pauses."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from hodei.domain.errors import Locked, Unavailable
from hodei.flow import batcher
from hodei.flow.batcher import Batcher
from tests import virtual_clock


class RowRefused(Exception):
    """PostgreSQL will not have a row: an error that is of one item."""


@dataclass
class Table:
    """Where flushes go. Each takes a second; what it took stands in `flushes`, with when it began."""

    bad: set[int] = field(default_factory=set)
    locked_until: dict[int, float] = field(default_factory=dict)
    away_until: float = 0.0
    stored: list[int] = field(default_factory=list)
    flushes: list[tuple[float, list[int]]] = field(default_factory=list)

    async def flush(self, items: list[int]) -> Sequence[int | Exception]:
        now = asyncio.get_running_loop().time()
        self.flushes.append((now, items))
        await asyncio.sleep(1.0)
        if now < self.away_until:
            raise Unavailable("the database is away")
        if self.bad.intersection(items):
            raise RowRefused
        if any(now < self.locked_until.get(item, 0.0) for item in items):
            raise Locked("a row is locked")
        self.stored += items
        return [item * 10 for item in items]

    @property
    def batches(self) -> list[list[int]]:
        return [items for _, items in self.flushes]


Answers = list[Any]
Story = Callable[[Batcher[int, int]], Awaitable[Answers]]


def told(table: Table, story: Story, **settings: Any) -> Answers:
    """What the story returns, with a batcher that runs beside it."""

    async def main() -> Answers:
        batches = Batcher(table.flush, **({"most": 100} | settings))
        async with asyncio.TaskGroup() as group:
            service = group.create_task(batches.run())
            answers = await story(batches)
            service.cancel()
        return answers

    return virtual_clock.run(main())


async def answer(batches: Batcher[int, int], item: int, size: int = 0) -> Any:
    """What a caller gets: an answer, or the name of the error."""
    try:
        return await batches.submit(item, size)
    except (RowRefused, Locked, Unavailable) as error:
        return type(error).__name__


async def together(batches: Batcher[int, int], items: Sequence[int], size: int = 0) -> Answers:
    """Each by a caller of its own, in this order, while nothing is in flight."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(answer(batches, item, size)) for item in items]
    return [task.result() for task in tasks]


def test_what_comes_during_a_flush_goes_together_in_the_next() -> None:
    async def story(batches: Batcher[int, int]) -> Answers:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(answer(batches, 1))
            await asyncio.sleep(0.5)
            later = [group.create_task(answer(batches, item)) for item in (2, 3, 4)]
        return [first.result(), *(task.result() for task in later)]

    table = Table()
    assert told(table, story) == [10, 20, 30, 40]
    assert table.flushes == [(0.0, [1]), (1.0, [2, 3, 4])]


@pytest.mark.parametrize(
    ("settings", "size", "batches"),
    [
        ({"most": 3}, 0, [[1, 2, 3], [4, 5, 6], [7]]),
        ({"most": 1}, 0, [[n] for n in range(1, 8)]),
        ({"most_bytes": 100}, 50, [[1, 2], [3, 4], [5, 6], [7]]),
        ({"most_bytes": 100}, 60, [[1, 2], [3, 4], [5, 6], [7]]),  # one group beyond the bound
        ({"most_bytes": 100}, 500, [[n] for n in range(1, 8)]),
        ({}, 0, [[1, 2, 3, 4, 5, 6, 7]]),
    ],
)
def test_a_batch_ends_at_its_bounds(
    settings: dict[str, int], size: int, batches: list[list[int]]
) -> None:
    table = Table()
    items = range(1, 8)
    answers = told(table, lambda batcher: together(batcher, items, size), **settings)
    assert answers == [item * 10 for item in items]
    assert table.batches == batches


@pytest.mark.parametrize("bad", [[1], [5], [8], [2, 3], [1, 8], [1, 2, 3, 4, 5, 6, 7, 8]])
def test_a_refused_item_costs_only_itself(bad: list[int]) -> None:
    table = Table(bad=set(bad))
    answers = told(table, lambda batches: together(batches, range(1, 9)))
    expected: Answers = ["RowRefused" if n in bad else n * 10 for n in range(1, 9)]
    assert answers == expected
    assert sorted(table.stored) == [n for n in range(1, 9) if n not in bad], "each is stored once"


def test_one_culprit_is_found_in_few_statements() -> None:
    table = Table(bad={700})
    told(table, lambda batches: together(batches, range(1024)), most=2000)
    assert len(table.flushes) == 1 + 10 + 1, "all, each half of 1,024, and what was left aside"


def test_items_that_come_together_have_their_answers_in_order() -> None:
    table = Table(bad={2})
    first, refused, last = told(table, lambda batches: batches.submit_all([1, 2, 3]))
    assert (first, last) == (10, 30)
    assert isinstance(refused, RowRefused)
    assert told(Table(), lambda batches: batches.submit_all([])) == []


def test_who_is_not_patient_hears_at_once_that_the_database_is_away() -> None:
    table = Table(away_until=60.0)
    assert told(table, lambda batches: together(batches, [1, 2])) == ["Unavailable"] * 2
    assert len(table.flushes) == 1


def test_who_is_patient_is_stored_once_when_the_database_is_back() -> None:
    table = Table(away_until=60.0)
    answers = told(table, lambda batches: together(batches, [1, 2]), patient=True)
    assert answers == [10, 20]
    assert table.stored == [1, 2]
    pauses = [
        after - before - 1.0
        for (before, _), (after, _) in zip(table.flushes, table.flushes[1:], strict=False)
    ]
    for pause, bound in zip(pauses, (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0), strict=False):
        assert bound / 2 <= pause <= bound
    assert len(pauses) > 7


def test_patience_does_not_spare_a_refused_item() -> None:
    table = Table(bad={1})
    answers = told(table, lambda batches: together(batches, [1, 2]), patient=True)
    assert answers == ["RowRefused", 20]


@pytest.mark.parametrize(
    ("locked_for", "lock_wait_s", "expected"),
    [
        (5.0, 20.0, [10, 20]),  # it waits, and the other does not
        (60.0, 20.0, [10, "Locked"]),
        (5.0, 0.0, [10, "Locked"]),
    ],
)
def test_a_locked_item_is_tried_again_for_its_term(
    locked_for: float, lock_wait_s: float, expected: Answers
) -> None:
    async def story(batches: Batcher[int, int]) -> Answers:
        loop = asyncio.get_running_loop()

        async def and_when(item: int) -> tuple[Any, float]:
            return await answer(batches, item), loop.time()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(and_when(item)) for item in (1, 2)]
        (free, free_at), (locked, locked_at) = (task.result() for task in tasks)
        assert free_at < 5.0, "nobody waits for somebody else's lock"
        assert locked_at < locked_for + lock_wait_s + 3.0
        return [free, locked]

    table = Table(locked_until={2: locked_for})
    assert told(table, story, lock_wait_s=lock_wait_s) == expected


@pytest.mark.parametrize(
    ("settings", "callers", "rests"),
    [
        ({"rest": 1.0}, 1, False),  # whoever comes alone does not wait
        ({"rest": 1.0}, 2, True),
        ({"rest": 1.0, "patient": True}, 1, True),
        ({"rest": 0.0, "patient": True}, 2, False),
    ],
)
def test_after_a_flush_of_several_more_may_gather(
    settings: dict[str, Any], callers: int, rests: bool
) -> None:
    async def story(batches: Batcher[int, int]) -> Answers:
        await together(batches, range(callers))
        return await together(batches, [7])

    table = Table()
    told(table, story, **settings)
    (first, _), (second, _) = table.flushes
    assert second - first == pytest.approx(1.0 + (batcher.MOST_REST_S if rests else 0.0))


def test_a_rest_ends_when_all_callers_are_back() -> None:
    """Two were answered, and one came meanwhile: the third that waits ends the rest."""

    async def late(batches: Batcher[int, int], after_s: float, item: int) -> Any:
        await asyncio.sleep(after_s)
        return await answer(batches, item)

    async def story(batches: Batcher[int, int]) -> Answers:
        async with asyncio.TaskGroup() as group:
            group.create_task(together(batches, [1, 2]))
            for after_s, item in ((0.5, 3), (1.002, 4), (1.004, 5), (1.006, 6)):
                group.create_task(late(batches, after_s, item))
        return []

    table = Table()
    told(table, story, rest=1.0)
    assert table.batches == [[1, 2], [3, 4, 5], [6]]
    assert [begun for begun, _ in table.flushes[:2]] == pytest.approx([0.0, 1.004])


def test_a_full_queue_holds_back_who_submits() -> None:
    async def story(batches: Batcher[int, int]) -> Answers:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer(batches, item)) for item in range(4)]
            await asyncio.sleep(0.5)
            assert batches.full
        assert not batches.full
        return [task.result() for task in tasks]

    table = Table()
    assert told(table, story, waiting=1) == [0, 10, 20, 30]
    assert max(len(items) for items in table.batches) <= 2, "one waits and one is let in for it"


def test_a_caller_that_went_away_takes_no_answer_from_the_others() -> None:
    async def story(batches: Batcher[int, int]) -> Answers:
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(answer(batches, 1))
            others = [group.create_task(answer(batches, item)) for item in (2, 3)]
            await asyncio.sleep(0.5)
            gone.cancel()
        return [task.result() for task in others]

    assert told(Table(), story) == [20, 30]


def test_at_its_end_nobody_is_left_waiting() -> None:
    """Neither who is in flight nor who is still in the queue."""

    async def main() -> Answers:
        table = Table()
        batches = Batcher(table.flush, most=1)
        async with asyncio.TaskGroup() as group:
            service = group.create_task(batches.run())
            tasks = [group.create_task(answer(batches, item)) for item in (1, 2, 3)]
            await asyncio.sleep(1.5)
            service.cancel()
        assert table.stored == [1]
        return [task.result() for task in tasks]

    assert virtual_clock.run(main()) == [10, "Unavailable", "Unavailable"]


def test_who_submits_after_its_end_is_refused_and_so_is_who_waited_for_room() -> None:
    async def main() -> Answers:
        batches = Batcher(Table().flush, most=1, waiting=1)
        async with asyncio.TaskGroup() as group:
            service = group.create_task(batches.run())
            tasks = [group.create_task(answer(batches, item)) for item in (1, 2, 3)]
            await asyncio.sleep(0.5)
            service.cancel()
            await asyncio.sleep(0.5)
            tasks.append(group.create_task(answer(batches, 4)))
        return [task.result() for task in tasks]

    assert virtual_clock.run(main()) == ["Unavailable"] * 4


def test_one_that_was_started_again_answers() -> None:
    async def main() -> Any:
        batches = Batcher(Table().flush, most=1)
        async with asyncio.TaskGroup() as group:
            died = group.create_task(batches.run())
            await asyncio.sleep(0.5)
            died.cancel()
            await asyncio.sleep(0.5)
            again = group.create_task(batches.run())
            answers = await together(batches, [1, 2])
            again.cancel()
        return answers

    assert virtual_clock.run(main()) == [10, 20]
