"""Moments as people give them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
import pytest

from hodei.cli.past import unix_us


def moment(text: str) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=unix_us(text, "--since"))


@pytest.fixture(autouse=True)
def _elsewhere() -> Iterator[None]:
    """Local time is two hours ahead, without summer time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "XXX-2")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("2d", 172_800), ("1h30m", 5400), ("90 ago", 90), ("0", 0)]
)
def test_so_long_ago(text: str, seconds: int) -> None:
    at = moment(text)
    assert seconds <= (datetime.now(UTC) - at).total_seconds() < seconds + 5


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31T12:00:00.123456+01:00", "2026-01-31T11:00:00.123456+00:00"),
        ("2026-01-31 12:00", "2026-01-31T10:00:00+00:00"),
        ("2026-01-31 12:00:05Z", "2026-01-31T12:00:05+00:00"),
        ("2026-01-31", "2026-01-30T22:00:00+00:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00"),
    ],
)
def test_a_time(text: str, at: str) -> None:
    assert moment(text).isoformat() == at


def test_a_time_of_today_is_as_tables_show_it() -> None:
    local = datetime.now().astimezone()
    assert moment("12:34:56") == local.replace(hour=12, minute=34, second=56, microsecond=0)
    assert moment("00:30Z").isoformat()[10:] == "T00:30:00+00:00"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "yesterday", "-5m", "10 minutes", "1969-12-31T00:00:00Z", "2026-02-30", "25:00",
        "9999-12-31T23:59:59-12:00", "0001-01-01", "99999999d", "1e400", "nan", "inf", "\x00", "١٠m",
        "9" * 5000, "2026-01-31T12:00:00+99:00",
    ],
)  # fmt: skip
def test_no_time(text: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        moment(text)
    words = refused.value.format_message()
    assert words.startswith("--since: expected a time as 2026-01-31T12:00:00Z")
    assert len(words) < 300
