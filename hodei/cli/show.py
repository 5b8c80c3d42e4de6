"""How data is shown: tables that fit the terminal, colour only on one, or one JSON document.

What others wrote (names, actors, messages) is shown with its controls escaped: it neither breaks a
table nor steers a terminal.
"""

import codecs
import json
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from hodei.domain.job import JobState
from hodei.domain.text import shown as escaped
from hodei.domain.token import TokenState
from hodei.domain.worker import WorkerState
from hodei.shapes.rendering import EPOCH, as_dict, rfc3339

STATE_STYLES: dict[str, str] = {
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
    JobState.RUNNING: "cyan",
    WorkerState.READY: "green",
    WorkerState.BUSY: "cyan",
    WorkerState.UNREACHABLE: "red",
    WorkerState.TERMINATED: "bright_black",
    WorkerState.DRAINING: "yellow",
    TokenState.USABLE: "green",
}
"""The colour of a cell that is one of these words."""


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--format",
        "output",
        envvar="HODEI_FORMAT",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
    )(command)


_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON may hold as it is and a terminal, or UTF-8, may not."""


def as_json(shown: Any) -> None:
    """A shape, or a list of them, as one document: the data to the character, in ASCII alone where
    the output is not UTF-8."""
    value = [as_dict(one) for one in shown] if isinstance(shown, list) else as_dict(shown)
    write_json(value)


def write_json(value: Any) -> None:
    """One JSON document that steers no terminal."""
    text = json.dumps(value, ensure_ascii=not _is_utf8(), indent=2 if sys.stdout.isatty() else None)
    click.echo(_STEERING.sub(lambda found: f"\\u{ord(found.group()):04x}", text))


def _is_utf8() -> bool:
    return codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    none: str,
    spare: Sequence[str] = (),
) -> None:
    """`none`: said instead when there are no rows. `spare`: columns that are left out, the first of
    them first, of a terminal that is too narrow for all. Piped output is not cut to a width."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo(none, err=True)
        return
    terminal = sys.stdout.isatty()
    if terminal and spare:
        headers, rows = _within(Console().width, headers, rows, spare)
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in headers:
        grid.add_column(
            header, overflow="fold" if header == "id" else "ellipsis", no_wrap=header != "message"
        )
    for row in rows:
        grid.add_row(*(Text(escaped(cell), style=STATE_STYLES.get(cell, "")) for cell in row))
    Console(width=None if terminal else 400, highlight=False, soft_wrap=False).print(grid)


def _within(
    width: int, headers: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Leaves out as many spare columns as it takes to show the others whole."""
    from rich.cells import cell_len

    columns = [
        [header, *map(escaped, cells)] for header, *cells in zip(headers, *rows, strict=True)
    ]
    left_out = list(spare)
    while left_out and sum(max(map(cell_len, c)) + GAP for c in columns) - GAP > width:
        unwanted = left_out.pop(0)
        columns = [column for column in columns if column[0] != unwanted]
    kept = [headers.index(column[0]) for column in columns]
    return [headers[n] for n in kept], [[row[n] for n in kept] for row in rows]


GAP = 3
"""Characters between two columns of a table."""


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Key and value, a line each; empty values are left out."""
    kept = [(key, value) for key, value in pairs if value != ""]
    width = max((len(key) for key, _ in kept), default=0)
    for key, value in kept:
        click.echo(f"{key:<{width}}  {click.style(escaped(value), fg=STATE_STYLES.get(value))}")


NEVER = "never"
"""Shown for a time beyond the calendar, as PostgreSQL's infinity in a row set by hand."""


def instant(unix_us: int | None) -> str:
    """A time in UTC to the microsecond; empty for None (not yet)."""
    if unix_us is None:
        return ""
    return rfc3339(unix_us) if _moment(unix_us) else NEVER


def clock(unix_us: int | None) -> str:
    """A time for tables: of today the local time, else with its date; empty for None (not yet)."""
    if unix_us is None:
        return ""
    at = _moment(unix_us)
    if at is None:
        return NEVER
    try:
        at = at.astimezone()
    except (OverflowError, ValueError, OSError):  # the last day of the calendar is tomorrow here
        return f"{at:%Y-%m-%d %H:%M:%S}Z"
    same_day = at.date() == datetime.now(UTC).astimezone().date()
    return at.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")


def _moment(unix_us: int) -> datetime | None:
    try:
        return EPOCH + timedelta(microseconds=unix_us)
    except OverflowError:
        return None


def duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
