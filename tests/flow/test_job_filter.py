"""The bounds of a filter: at each of them it is accepted, and beyond it refused with the bound."""

import asyncio
from typing import Any, cast

import pytest

from hodei.access.limits import CallersDatabase
from hodei.access.principal import Principal
from hodei.access.roles import Role
from hodei.domain.errors import Invalid
from hodei.flow.job_filter import LONGEST_TEXT, MOST_VALUES, Wanted, filter_of

ANYBODY = Principal("cli:ana", Role.VIEWER, None)
NO_DATABASE = cast(CallersDatabase, None)  # it is asked only for the names of workers


def check(**wanted: Any) -> None:
    asyncio.run(filter_of(NO_DATABASE, ANYBODY, Wanted(**wanted)))


def labels(number: int) -> dict[str, str]:
    return {f"label-{n}": "value" for n in range(number)}


AT_THE_BOUND: list[dict[str, Any]] = [
    {"states": ["FAILED"] * MOST_VALUES},
    {"reasons": ["TIMEOUT"] * MOST_VALUES},
    {"labels": labels(MOST_VALUES)},
    {"labels": labels(MOST_VALUES - 1), "label_names": ["gpu"]},
    {"labels": {"x" * LONGEST_TEXT: "y" * LONGEST_TEXT}},
    {"name": "x" * LONGEST_TEXT, "actor": "x" * LONGEST_TEXT},
]

BEYOND: list[tuple[dict[str, Any], str]] = [
    ({"states": ["FAILED"] * 101}, "state: expected at most 100 values, got 101"),
    ({"reasons": ["TIMEOUT"] * 101}, "reason: expected at most 100 values, got 101"),
    ({"workers": ["w"] * 101}, "worker: expected at most 100 values, got 101"),
    ({"labels": labels(101)}, "label: expected at most 100 values, got 101"),
    ({"labels": labels(100), "label_names": ["x"]}, "label: expected at most 100 values, got 101"),
    ({"labels": {"x": "y" * 1001}}, "label: expected at most 1000 characters, got 1001"),
    ({"label_names": ["x\0"]}, r"label: expected text without NUL, got 'x\x00'"),
    ({"name": "x" * 1001}, "name: expected at most 1000 characters, got 1001"),
    ({"actor": "x\0"}, r"actor: expected text without NUL, got 'x\x00'"),
    ({"correlation_id": "x" * 1001}, "correlation_id: expected at most 1000 characters, got 1001"),
]


@pytest.mark.parametrize("wanted", AT_THE_BOUND)
def test_a_filter_at_its_bounds_is_accepted(wanted: dict[str, Any]) -> None:
    check(**wanted)


@pytest.mark.parametrize(("wanted", "words"), BEYOND)
def test_a_filter_beyond_its_bounds_is_refused(wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check(**wanted)
    assert str(refusal.value) == words
