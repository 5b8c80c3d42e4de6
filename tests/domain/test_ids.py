"""Ids of version 7: in order within a process, and counted from a first one."""

import secrets
import time
import uuid

import pytest

from hodei.domain import ids
from hodei.domain.ids import following, uuid7


def test_they_increase_within_a_millisecond() -> None:
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {(one.version, one.variant) for one in made} == {(7, uuid.RFC_4122)}


def test_they_increase_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    assert before < uuid7() < uuid7()


def test_none_tells_the_next_one() -> None:
    steps = {following(uuid7(), 1) == uuid7() for _ in range(1000)}
    assert steps == {False}


def test_a_list_is_counted_from_its_first() -> None:
    first = ids.uuid7()
    counted = [following(first, number) for number in range(5000)]
    assert counted[0] == first
    assert counted == sorted(set(counted))
    assert {one.version for one in counted} == {7}


def test_the_count_goes_past_version_and_variant() -> None:
    last = uuid.UUID("01a215d1-7090-7fff-bfff-ffffffffffff")
    assert following(last, 1) == uuid.UUID("01a215d1-7091-7000-8000-000000000000")


def test_none_that_is_made_later_is_one_that_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    monkeypatch.setattr(secrets, "randbits", lambda _: 0)
    first = uuid7()
    assert uuid7() > following(first, ids.ROOM - 1)
