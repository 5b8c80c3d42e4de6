"""How data is shown: tables that fit the terminal, fields, or documents for programs.

What others wrote (names, actors, messages) is shown with its controls escaped: it neither breaks a
table nor steers a terminal. Colour is used only on a terminal that has it, see `colours`.
"""

from hodei.cli.show.documents import (
    FORMAT_KEY,
    FORMATS,
    emit,
    emit_line,
    format_option,
    write_json,
)
from hodei.cli.show.tables import Column, fields, table
from hodei.cli.show.values import (
    UTC_KEY,
    clock,
    clock_cell,
    clock_of,
    counted,
    duration,
    instant,
    short_id,
    size,
    wide_option,
)

__all__ = [
    "FORMATS",
    "FORMAT_KEY",
    "UTC_KEY",
    "Column",
    "clock",
    "clock_cell",
    "clock_of",
    "counted",
    "duration",
    "emit",
    "emit_line",
    "fields",
    "format_option",
    "instant",
    "short_id",
    "size",
    "table",
    "wide_option",
    "write_json",
]
