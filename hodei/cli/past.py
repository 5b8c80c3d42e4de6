"""Times in the past, as people give them to flags."""

import time
from datetime import UTC, datetime, timedelta

import click

from hodei.cli.times import seconds
from hodei.shapes.rendering import EPOCH


def unix_us(text: str, flag: str) -> int:
    """The microseconds since 1970 of a time with its offset (RFC 3339), or of a time that so long
    ago was now, as 10m. UsageError names the flag."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return int((time.time() - _ago(text, flag)) * 1e6)
    if at.tzinfo is None:
        raise click.UsageError(
            f"{flag}: expected a time with its offset, as 2026-01-31T12:00:00Z, got {text!r}"
        )
    try:
        return (at.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
    except OverflowError:
        raise click.UsageError(f"{flag}: expected a time after 1970, got {text!r}") from None


def _ago(text: str, flag: str) -> float:
    try:
        return seconds(text, flag)
    except click.UsageError:
        raise click.UsageError(
            f"{flag}: expected a time as 2026-01-31T12:00:00Z, or how long ago, as 10m or 2d, "
            f"got {text!r}"
        ) from None
