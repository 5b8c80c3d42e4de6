"""Times in the past, as people give them to flags: how long ago, or a time as tables show it."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any

import click

from hodei.domain import durations
from hodei.shapes.rendering import EPOCH

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")


class Past(click.ParamType[int]):
    """The type of a flag that is such a time, in microseconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, _ctx: click.Context | None) -> int:
        """UsageError: it says none (unix_us)."""
        return value if isinstance(value, int) else unix_us(value, param.opts[0] if param else "")


def unix_us(text: str, flag: str) -> int:
    """The microseconds since 1970 of how long ago, as 10m or 2d, or of a time: with its offset, or
    local. UsageError names the flag; a time is of the years 1970 to 9999."""
    try:
        found = _microseconds(text.strip().removesuffix(" ago"))
    except (ValueError, OverflowError):
        found = -1
    if found < 0:
        raise click.UsageError(
            f"{flag}: expected a time as 2026-01-31T12:00:00Z or 2026-01-31 12:00, or how long "
            f"ago, as 10m or 2d, got {text[:80]!r}"
        )
    return found


def _microseconds(text: str) -> int:
    now = datetime.now(UTC)
    if (seconds := durations.seconds(text)) is not None:
        at = now - timedelta(microseconds=int(seconds * 1_000_000))
    elif _DAY.fullmatch(text):
        at = datetime.fromisoformat(text).astimezone(UTC)  # without an offset it is local
    else:
        clock = time.fromisoformat(text)
        at = datetime.combine(now.astimezone(clock.tzinfo).date(), clock).astimezone(UTC)
    return (at - EPOCH) // timedelta(microseconds=1)
