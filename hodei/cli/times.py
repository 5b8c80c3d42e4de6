"""Flags that are durations and moments."""

from datetime import UTC, datetime, timedelta

import click

from hodei.domain import durations

LONGEST_S = 31_557_600_000
"""A thousand years, in seconds: the calendar has no place for what is longer."""


def seconds(text: str, flag: str) -> float:
    """The seconds that a text says, as 90, 1.5, 90s, 1h30m or 2d. UsageError names the flag."""
    value = durations.seconds(text)
    if value is None:
        raise click.UsageError(durations.refusal(flag, text))
    if value > LONGEST_S:
        raise click.UsageError(f'{flag}: expected at most {LONGEST_S} seconds, got "{text}"')
    return int(value) if value == int(value) else float(value)


def moment(text: str) -> str:
    """The time that a text says, in UTC: a time with its offset, or +10m for ten minutes from
    now. UsageError: it says none."""
    if text.startswith("+"):
        at = datetime.now(UTC) + timedelta(seconds=seconds(text[1:], "--run-at"))
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise click.UsageError(
                f"--run-at: expected ISO 8601 as 2026-01-31T12:00:00Z, or +10m, got {text!r}"
            ) from None
    if at.tzinfo is None:
        raise click.UsageError(
            "--run-at: expected a time with its offset, as 2026-01-31T12:00:00Z or "
            f"2026-01-31T12:00:00+01:00, or +10m from now, got {text!r}"
        )
    try:
        return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError:
        raise click.UsageError(
            f"--run-at: expected a time of the years 2000 to 2999, got {text!r}"
        ) from None
