"""Tables and lists of fields for people.

On a terminal a table is as wide as the terminal: columns leave, and the ones that may be are cut.
Into a pipe everything is written whole, without blanks at the ends of lines.
"""

import codecs
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import click

from hodei.cli.show.colours import bold, painted
from hodei.cli.show.values import is_wide
from hodei.domain.text import shown as escaped

GAP = 2
"""Blanks between two columns; one where a table has no room for two."""

LEAST_LEFT = 4
"""Characters below which a column that is cut says nothing, and leaves."""

LEAST_CUT = 12
"""Characters that a column which may be cut keeps, unless it says another number."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `leaves`: 0 for one that is always shown; of the others the one with the
    highest number leaves first when the terminal is too narrow, before them those without any value
    in this table. `cut`: its values may end in "…"; it keeps `least` characters before another column leaves for it."""

    title: str
    leaves: int = 0
    cut: bool = False
    least: int = LEAST_CUT


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, none: str) -> None:
    """Writes a header and a line for each row. `none`: said on standard error instead when there
    are no rows."""
    if not rows:
        click.echo(none, err=True)
        return
    cells = [[escaped(cell) for cell in row] for row in rows]
    widths = [
        max(map(_cells, (column.title, *values)))
        for column, *values in zip(columns, *cells, strict=True)
    ]
    gap = GAP
    if sys.stdout.isatty() and not is_wide():
        room = shutil.get_terminal_size().columns
        widths = fitted(_empty_first(columns, cells), widths, room)
        gap = GAP if _total(widths) <= room else 1
    click.echo(_line([column.title for column in columns], widths, gap, bold_text=True))
    for row in cells:
        click.echo(_line(row, widths, gap))


def _empty_first(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[Column]:
    """The columns, of which those that say nothing in any row leave before the others."""
    most = max(column.leaves for column in columns)
    return [
        replace(column, leaves=column.leaves + most)
        if column.leaves and not any(values)
        else column
        for column, *values in zip(columns, *cells, strict=True)
    ]


def fitted(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """The widths of the columns in a terminal of `room` characters; 0 for one that has left. What
    does not fit even then is as wide as its columns that are never cut."""
    fits = [min(width, room) if c.cut else width for c, width in zip(columns, widths, strict=True)]
    least = [
        min(width, c.least) if c.cut else width for c, width in zip(columns, fits, strict=True)
    ]
    for leaves in sorted({c.leaves for c in columns if c.leaves}, reverse=True):
        for number in reversed(range(len(columns))):
            if columns[number].leaves == leaves and _total(least) > room:
                fits[number] = least[number] = 0
    shrinking = [number for number, column in enumerate(columns) if column.cut and fits[number]]
    while shrinking and _total(fits) > room:
        widest = max(shrinking, key=fits.__getitem__)
        fits[widest] -= 1
        if fits[widest] < LEAST_LEFT:
            fits[widest] = 0
            shrinking.remove(widest)
    return fits


def _total(widths: Sequence[int]) -> int:
    kept = [width for width in widths if width]
    return sum(kept) + GAP * (len(kept) - 1)


def _line(
    values: Sequence[str], widths: Sequence[int], gap: int, *, bold_text: bool = False
) -> str:
    shown = []
    for value, width in zip(values, widths, strict=True):
        if width:
            text = _cut(value, width)
            blanks = " " * (width - _cells(text))
            shown.append((bold(text) if bold_text else painted(text, value), blanks))
    last = max((n for n, (text, _) in enumerate(shown) if text), default=-1)
    return (" " * gap).join(
        text + (blanks if n < last else "") for n, (text, blanks) in enumerate(shown[: last + 1])
    )


def _cells(text: str) -> int:
    """Columns of a terminal that a text takes: two for a wide character, none for an accent that
    is a character of its own."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _cut(text: str, width: int) -> str:
    if _cells(text) <= width:
        return text
    mark = "…" if _has_ellipsis() else "..."[:width]
    from rich.cells import set_cell_size

    return set_cell_size(text, width - len(mark)).rstrip() + mark


def _has_ellipsis() -> bool:
    try:
        codecs.encode("…", sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Key and value, a line each; empty values are left out."""
    kept = [(key, value) for key, value in pairs if value != ""]
    width = max((len(key) for key, _ in kept), default=0)
    for key, value in kept:
        click.echo(f"{key:<{width}}  {painted(escaped(value), value)}")
