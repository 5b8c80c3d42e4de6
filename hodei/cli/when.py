"""A moment as people say it: how long ago, or a time as tables show it."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any

import click

from hodei.domain import durations

_DAYS = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")


class When(click.ParamType[int]):
    """`10m` or `2d` (so long ago), a time with its offset, or a local time; as microseconds since
    1970."""

    name = "time"

    def convert(
        self, value: Any, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> int:
        """UsageError: it is none of them, or beyond the years 1970 to 9999."""
        if isinstance(value, int):
            return value
        try:
            found = _microseconds(value.strip())
        except (ValueError, OverflowError):
            found = None
        if found is None or found < 0:
            self.fail(
                f"expected how long ago, as 10m or 2d, or a time, as 2026-01-31T12:00:00Z or "
                f"2026-01-31 12:00, got {value[:80]!r}"
            )
        return found


def _microseconds(text: str) -> int | None:
    text = text.removesuffix(" ago")
    now = datetime.now(UTC)
    if (seconds := durations.seconds(text)) is not None:
        at = now - timedelta(microseconds=int(seconds * 1_000_000))
    elif _DAYS.fullmatch(text):
        at = datetime.fromisoformat(text).astimezone(UTC)  # without an offset it is local
    else:
        clock = time.fromisoformat(text)
        today = now.astimezone(clock.tzinfo).date()
        at = datetime.combine(today, clock).astimezone(UTC)
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
