"""The roster of sweeps: each thing that a look may find has a sweep, and only those act."""

import asyncio
import dataclasses
from typing import Any

import pytest

from hodei.fleet.presence import Presence
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.sweeps.sweeper import Sweeper
from hodei.store.database import Database
from hodei.store.sweep import EVERYTHING, Attention

NAMES = [field.name for field in dataclasses.fields(Attention)]


def sweeper(database: Database) -> Sweeper:
    presence = Presence()
    nobody: Any = None  # cancels and losses, which no look of these tests asks for
    return Sweeper(database, presence, JobDispatcher(database, presence), nobody, nobody, 60.0)


def acted(url: str, found: Attention) -> list[str]:
    """The sweeps that act when a look finds this."""

    async def play() -> list[str]:
        async with Database(url) as database:
            one = sweeper(database)
            names: list[str] = []

            def noting(name: str) -> Any:
                async def note() -> None:
                    names.append(name)

                return note

            one.roster = tuple(line._replace(act=noting(line.name)) for line in one.roster)

            async def look() -> Attention:
                return found

            one._look = look  # type: ignore[method-assign]
            await one._sweep()
            return names

    return asyncio.run(play())


def test_each_thing_that_a_look_finds_has_a_sweep(database_url: str) -> None:
    lines = sweeper(Database(database_url)).roster
    assert {name for line in lines for name in line.finds} == set(NAMES) - {"ready"}, (
        "the dispatcher is told of what is ready"
    )
    assert len({line.name for line in lines}) == len(lines)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_sweeps_of_what_was_found_act(name: str, database_url: str) -> None:
    found = Attention(**{other: other == name for other in NAMES})
    lines = sweeper(Database(database_url)).roster
    assert acted(database_url, found) == [line.name for line in lines if name in line.finds]


def test_after_a_look_that_failed_all_sweeps_act(database_url: str) -> None:
    lines = sweeper(Database(database_url)).roster
    assert acted(database_url, EVERYTHING) == [line.name for line in lines]
