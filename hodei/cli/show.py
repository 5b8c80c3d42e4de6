"""How data is shown: tables that fit the terminal, colour only on one, or one JSON document."""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

STATE_STYLES = {
    "SUCCEEDED": "green", "FAILED": "red", "CANCELLED": "yellow", "RUNNING": "cyan", "READY": "green", "BUSY": "cyan",
    "UNREACHABLE": "red", "TERMINATED": "bright_black", "DRAINING": "yellow", "USABLE": "green",
}  # fmt: skip


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--format", "output", envvar="HODEI_FORMAT", type=click.Choice(["table", "json"]), default="table", show_default=True
    )(command)


def as_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, none: str) -> None:
    """`none`: said instead when there are no rows. Piped output is not cut to a width."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo(none, err=True)
        return
    terminal = sys.stdout.isatty()
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in headers:
        shown.add_column(header, overflow="fold" if header == "id" else "ellipsis", no_wrap=header != "message")
    for row in rows:
        shown.add_row(*(Text(cell, style=STATE_STYLES.get(cell, "")) for cell in row))
    Console(width=None if terminal else 400, highlight=False, soft_wrap=False).print(shown)


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Key and value, a line each; empty values are left out."""
    kept = [(key, value) for key, value in pairs if value != ""]
    width = max((len(key) for key, _ in kept), default=0)
    for key, value in kept:
        first, *more = value.splitlines() or [""]
        click.echo(f"{key:<{width}}  {click.style(first, fg=STATE_STYLES.get(first))}")
        for line in more:
            click.echo(f"{'':<{width}}  {line}")


def instant(unix_us: int) -> str | None:
    """ISO 8601, UTC; None for 0 (not yet)."""
    return datetime.fromtimestamp(unix_us / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if unix_us else None


def clock(unix_us: int) -> str:
    """For tables: local time of today, else with its date."""
    if not unix_us:
        return ""
    at = datetime.fromtimestamp(unix_us / 1e6, UTC).astimezone()
    same_day = at.date() == datetime.now(UTC).astimezone().date()
    return at.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")


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
