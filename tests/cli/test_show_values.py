"""Times, durations, sizes and ids as people read them."""

import time
from collections.abc import Iterator

import click
import pytest

from hodei.cli import show
from hodei.cli.waits import waits_for


@pytest.fixture(autouse=True)
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def in_utc(unix_us: int) -> str:
    context = click.Context(click.Command("x"))
    context.meta[show.UTC_KEY] = True
    with context:
        return show.clock(unix_us)


def test_times_beyond_the_calendar_are_never() -> None:
    assert show.instant(None) == show.clock(None) == ""
    assert show.instant(0) == "1970-01-01T00:00:00.000000Z"
    assert show.instant(1) == "1970-01-01T00:00:00.000001Z"
    assert show.instant(2**62) == show.clock(2**62) == "never"
    assert show.instant(-(2**62)) == "never"
    assert show.clock(253_402_300_799_000_000), "the calendar's last second"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("its time, 2026-01-31T12:00:00+00:00", "its time, 2026-01-31 07:00:00"),
        ("its back-off, until 2026-01-31T12:00:00Z", "its back-off, until 2026-01-31 07:00:00"),
        ("its time, never", "its time, never"),
        ("its time, 9999-99-99T12:00:00Z", "its time, 9999-99-99T12:00:00Z"),
        ("a worker with at=2026-01-31T12:00:00Z", "a worker with at=2026-01-31T12:00:00Z"),
        ("a free slot: the only slot is busy", "a free slot: the only slot is busy"),
        (None, ""),
    ],
)
def test_why_a_job_waits_has_its_time_as_tables_have_it(words: str | None, told: str) -> None:
    assert waits_for(words) == told


def test_a_time_is_local_or_with_the_switch_in_utc() -> None:
    at = 1_769_860_800_123_456  # 2026-01-31T12:00:00.123456Z
    assert show.clock(at) == "2026-01-31 07:00:00"
    assert show.clock(at, milliseconds=True) == "2026-01-31 07:00:00.123"
    assert in_utc(at) == "2026-01-31 12:00:00Z"


def test_a_time_of_today_has_no_date() -> None:
    now = int(time.time() * 1e6)
    assert len(show.clock(now)) == len("12:00:00")
    assert len(in_utc(now)) == len("12:00:00Z")
    assert len(in_utc(now - 86_400_000_000)) == len("2026-01-31 12:00:00Z")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"),
        (-5, "0 ms"),
        (0.0004, "0 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (239.4, "3 min 59 s"),
        (239.6, "4 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (86_369, "23 h 59 min"),
        (86_371, "1 d 0 h"),
        (86_400 * 400, "400 d 0 h"),
        (float("nan"), "unknown"),
        (float("inf"), "unknown"),
    ],
)
def test_a_duration_is_rounded_before_it_is_split(seconds: float, words: str) -> None:
    assert show.duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_048_575, "1.0 MiB"),
        (1 << 30, "1.0 GiB"),
        (1 << 50, "1048576.0 GiB"),
    ],
)
def test_a_size_is_rounded_before_its_unit_is_chosen(count: int, words: str) -> None:
    assert show.size(count) == words


def test_an_id_is_whole_where_no_terminal_is() -> None:
    whole = "01a215dd-97cf-7e90-97ee-ee94a3291234"
    assert show.short_id(whole) == whole
    assert show.short_id(None) == ""
