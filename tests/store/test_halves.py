"""The search for the item at fault, without a database: who is found, and in how many
statements."""

import asyncio
import math
from collections.abc import Sequence

import psycopg
import pytest

from hodei.domain.errors import Locked, Unavailable
from hodei.store import halves


class Statements:
    """Acts as a statement over many rows that fails for some of them; counts how often it is
    asked."""

    def __init__(self, bad: Sequence[int], error: Exception) -> None:
        self.bad, self.error = set(bad), error
        self.asked = 0
        self.done: list[int] = []

    async def __call__(self, items: list[int]) -> list[int]:
        self.asked += 1
        if self.bad & set(items):
            raise self.error
        self.done += items
        return [item * 10 for item in items]


def searched(statements: Statements, many: int) -> list[int | Exception]:
    return asyncio.run(halves.each(list(range(many)), statements))


@pytest.mark.parametrize("many", [1, 2, 3, 7, 8, 100, 200, 500, 512])
def test_one_culprit_costs_log2_n_and_one_statements_more(many: int) -> None:
    worst = 0
    for bad in {0, 1, many // 2, many - 1} & set(range(many)):
        statements = Statements([bad], ValueError("row"))
        answers = searched(statements, many)
        assert [a for a in answers if a is statements.error] == [statements.error]
        assert answers[bad] is statements.error
        assert statements.done == sorted(statements.done), "in order"
        assert len(statements.done) == many - 1, "each of the others once"
        worst = max(worst, statements.asked - 1)
    assert worst <= math.ceil(math.log2(many)) + 1


def test_several_culprits_are_each_found() -> None:
    statements = Statements([3, 50, 99], ValueError("row"))
    answers = searched(statements, 100)
    assert [n for n, answer in enumerate(answers) if isinstance(answer, Exception)] == [3, 50, 99]
    assert answers[4] == 40
    assert statements.asked < 40


def test_what_fails_for_all_is_not_searched_for_ever() -> None:
    statements = Statements(range(1000), ValueError("all"))
    assert all(isinstance(answer, ValueError) for answer in searched(statements, 1000))
    assert statements.asked <= halves.MOST_FAILURES + 12


def test_a_locked_row_is_an_item_and_a_database_that_is_away_is_none() -> None:
    assert isinstance(searched(Statements([1], Locked("row")), 4)[1], Locked)
    with pytest.raises(Unavailable):
        searched(Statements([1], Unavailable("away")), 4)


class SlowStatements:
    """Takes as long for each item, and half a second at most for all."""

    def __init__(self, each_s: float) -> None:
        self.each_s = each_s
        self.done: list[int] = []
        self.time_outs = 0

    async def __call__(self, items: list[int]) -> list[int]:
        if len(items) * self.each_s > 0.5:
            self.time_outs += 1
            raise Locked("slow") from psycopg.errors.QueryCanceled()
        await asyncio.sleep(len(items) * self.each_s)
        self.done += items
        return [item * 10 for item in items]


def test_where_all_are_slow_each_is_done_and_few_statements_fail() -> None:
    statements = SlowStatements(0.01)
    answers = asyncio.run(halves.each(list(range(200)), statements))
    assert answers == [item * 10 for item in range(200)]
    assert statements.done == list(range(200)), "in order, each once"
    assert statements.time_outs == 2, "of 200 and of 100"


def test_a_search_after_a_time_out_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "MOST_SEARCH_S", 0.5)
    statements = SlowStatements(0.01)
    answers = asyncio.run(halves.each(list(range(200)), statements))
    done = len(statements.done)
    assert 25 <= done < 200
    assert answers[:done] == [item * 10 for item in range(done)]
    assert all(isinstance(answer, Locked) for answer in answers[done:])
