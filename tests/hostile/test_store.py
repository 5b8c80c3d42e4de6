"""The two attacks on the store itself, for longer than in tests/store."""

import asyncio

import pytest

from tests.store.test_any_order import explore
from tests.store.test_interleavings import STATES, what_is_wrong


@pytest.mark.parametrize("state", STATES)
def test_each_pair_of_statements_of_which_the_first_rolls_back(
    database_url: str, state: str
) -> None:
    assert asyncio.run(what_is_wrong(database_url, state, commit=False)) == []


def test_many_orders_of_all_verbs(database_url: str) -> None:
    explore(database_url, 80)
