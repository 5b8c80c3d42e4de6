"""Times, durations, sizes and ids, as people read them."""

import math
import re
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

import click

from hodei.shapes.rendering import EPOCH, rfc3339

NEVER = "never"
"""Shown for a time beyond the calendar, as PostgreSQL's infinity in a row set by hand."""

UTC_KEY = "hodei.utc"
WIDE_KEY = "hodei.wide"
"""Where click's context has the flags --utc and --wide of this call."""


def wide_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --wide, which `table` and `short_id` obey; the command itself does not get it."""
    return click.option(
        "--wide",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_note_wide,
        help="All columns and whole values and ids, as a pipe gets them.",
    )(command)


def _note_wide(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.meta[WIDE_KEY] = value


def is_wide() -> bool:
    return _noted(WIDE_KEY)


def _noted(key: str) -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(key))


SHORT_ID = 8
"""Characters of a short id: the last ones of a UUID, as the first are those of its time, which all
ids of one minute share."""


def short_id(whole: str | None) -> str:
    """An id in a table: its last characters on a terminal; the whole id into a pipe or with --wide.
    Empty for None."""
    if whole is None or is_wide() or not sys.stdout.isatty():
        return whole or ""
    return whole[-SHORT_ID:]


def instant(unix_us: int | None) -> str:
    """A time in UTC to the microsecond; empty for None (not yet)."""
    if unix_us is None:
        return ""
    return rfc3339(unix_us) if _moment(unix_us) else NEVER


def clock(unix_us: int | None, *, milliseconds: bool = False) -> str:
    """A time, to the second unless `milliseconds`: local, or in UTC with a Z after --utc; with its
    date when that is not today. Empty for None (not yet)."""
    if unix_us is None:
        return ""
    at = _moment(unix_us)
    if at is None:
        return NEVER
    utc = _noted(UTC_KEY)
    try:
        at = at if utc else at.astimezone()
    except (OverflowError, ValueError, OSError):  # the last day of the calendar is tomorrow here
        utc = True
    text = at.strftime("%H:%M:%S") if at.date() == _today(UTC if utc else None) else f"{at:%F %T}"
    return text + (f".{at.microsecond // 1000:03}" if milliseconds else "") + ("Z" if utc else "")


_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")


def clock_of(text: str) -> str:
    """A text that is a time in ISO 8601 with its offset, as `clock` shows it; any other as it is."""
    if not _ISO.fullmatch(text):
        return text
    try:
        return clock((datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1))
    except (ValueError, OverflowError):  # a hand has set it
        return text


def clock_cell(unix_us: int | None, *, milliseconds: bool = False) -> str:
    """A time in a table: as `clock` gives it, but short in a terminal of less than NARROW columns:
    without milliseconds; of another day its date and minute; of another year its date."""
    whole = clock(unix_us, milliseconds=milliseconds and not is_narrow())
    at, is_dated, rest = whole.partition(" ")
    if not is_dated or not is_narrow():
        return whole
    if at[:4] != str(_today(UTC if rest.endswith("Z") else None).year):
        return at
    return f"{at[5:]} {rest[:5]}" + ("Z" if rest.endswith("Z") else "")


NARROW = 60
"""Columns below which a terminal has no room for a whole date and time beside the rest."""


def is_narrow() -> bool:
    return sys.stdout.isatty() and not is_wide() and shutil.get_terminal_size().columns < NARROW


def _today(zone: tzinfo | None) -> date:
    return datetime.now(UTC).astimezone(zone).date()


def _moment(unix_us: int) -> datetime | None:
    try:
        return EPOCH + timedelta(microseconds=unix_us)
    except OverflowError:
        return None


def counted(count: int, what: str) -> str:
    """A number of things, named in the singular: "1 job", "2 jobs"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def duration(seconds: float) -> str:
    """A duration in its two largest units, rounded to the smaller one before it is split: "3 min
    59 s" or "4 min 0 s", never "3 min 60 s". "unknown" for what is no number."""
    if not math.isfinite(seconds):
        return "unknown"
    seconds = max(0.0, seconds)
    if round(seconds * 1000) < 1000:
        return f"{round(seconds * 1000)} ms"
    if round(seconds, 1) < 60:
        return f"{round(seconds, 1)} s"
    for small, large, units, words in _SPLITS:
        whole = round(seconds / small)
        if whole < units or units == 0:
            return f"{whole // large} {words[0]} {whole % large} {words[1]}"
    raise AssertionError("the last split has no bound")


_SPLITS: tuple[tuple[int, int, int, tuple[str, str]], ...] = (
    (1, 60, 3600, ("min", "s")),
    (60, 60, 24 * 60, ("h", "min")),
    (3600, 24, 0, ("d", "h")),
)
"""Seconds of the smaller unit, how many of it are a larger one, and below how many of it this split
is used (0: always)."""


def size(count: int) -> str:
    """Bytes in the largest unit of which there is at least one, rounded to a tenth."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if round(value, 1) < 1024 or unit == "GiB":
            return f"{value:.1f} {unit}"
    raise AssertionError("the last unit has no bound")
