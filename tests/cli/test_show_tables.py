"""A table in a terminal: the columns that matter are whole, the others leave or end in "…"."""

import os
import pty
import subprocess
import sys
import termios

import pytest
from rich.cells import cell_len

from hodei.cli import show
from hodei.cli.show.tables import fitted

COLUMNS = [
    show.Column("id"),
    show.Column("name", cut=True),
    show.Column("state"),
    show.Column("reason", leaves=1),
    show.Column("created"),
    show.Column("took", leaves=3),
    show.Column("waits for", leaves=2, cut=True),
]
NAMES = [
    "short",
    "a name of sixty characters that goes on and on, and then some",
    "日本語の名前" * 4,
]
WAITS = "a worker with gpu=a100: the nearest, worker-3 of the north, lacks it"
ROWS = [
    ["94b637d8", name, "SUCCEEDED", "EXIT_NONZERO", "2026-01-31 12:00:00", "3 min 59 s", WAITS]
    for name in NAMES
]


def in_terminal(columns: int, **environment: str) -> list[str]:
    """The table above in a real terminal."""
    code = """
from tests.cli.test_show_tables import *
show.table(COLUMNS, ROWS, none="")
"""
    return shown_in_terminal(code, columns, **environment)


def shown_in_terminal(code: str, columns: int, **environment: str) -> list[str]:
    """What a program writes to a real terminal of this width, line by line."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    clean = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "TERM")}
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs, env=clean | environment):
        os.close(theirs)
        said = b""
        while part := _read(ours):
            said += part
    os.close(ours)
    return said.decode().splitlines()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # its other end is closed
        return b""


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_a_table_fits_its_terminal_and_keeps_what_matters(columns: int) -> None:
    lines = in_terminal(columns, NO_COLOR="1")
    assert len(lines) == 4
    for line in lines[1:]:
        assert "94b637d8" in line
        assert "SUCCEEDED" in line
        assert "2026-01-31 12:00:00" in line
    assert max(map(cell_len, lines)) <= columns
    if columns == 200:
        assert all(NAMES[n] in lines[n + 1] for n in range(3))
        assert WAITS in lines[1]
    if columns == 40:
        assert "…" not in lines[2], "a name that would keep fewer than 4 characters has left"
    elif columns <= 80:
        assert "…" in lines[2]
        assert "waits" not in lines[0]


def test_the_column_with_the_highest_number_leaves_first() -> None:
    columns = [show.Column("a"), show.Column("b", leaves=2), show.Column("c", leaves=1)]
    widths = [10, 10, 10]
    assert fitted(columns, widths, 34) == [10, 10, 10]
    assert fitted(columns, widths, 33) == [10, 0, 10]
    assert fitted(columns, widths, 21) == [10, 0, 0]
    assert fitted(columns, widths, 1) == [10, 0, 0]


def test_a_column_without_a_value_leaves_before_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    columns = [show.Column("id"), show.Column("reason", leaves=1), show.Column("took", leaves=2)]
    for columns_there, head in (("12", "id  took"), ("16", "id  reason  took"), ("5", "id")):
        monkeypatch.setenv("COLUMNS", columns_there)
        show.table(columns, [["1", "", "3 ms"], ["2", "", "5 ms"]], none="")
        assert capsys.readouterr().out.splitlines()[0] == head


def test_columns_that_may_be_cut_give_their_width_before_others_leave() -> None:
    columns = [show.Column("a", cut=True), show.Column("b", cut=True), show.Column("c", leaves=1)]
    assert fitted(columns, [100, 30, 10], 84) == [40, 30, 10]
    assert fitted(columns, [100, 30, 10], 64) == [25, 25, 10]
    assert fitted(columns, [100, 30, 10], 37) == [17, 18, 0]
    assert fitted(columns, [1, 1, 1], 7) == [1, 1, 1]


def test_a_pipe_gets_everything_whole_and_no_blanks_at_the_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.table(COLUMNS, [*ROWS, ["1", "x", "PENDING", "", "", "", ""]], none="")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(line == line.rstrip() for line in lines)
    assert all(value in line for row, line in zip(ROWS, lines[1:], strict=False) for value in row)
    assert lines[4].split() == ["1", "x", "PENDING"]


def test_no_rows_are_said_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(COLUMNS, [], none="no jobs")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "no jobs\n")


def test_colour_is_for_a_terminal_that_wants_it() -> None:
    assert any("\x1b[32m" in line for line in in_terminal(80, TERM="xterm"))
    fields = "from hodei.cli import show; show.fields([('state', 'FAILED'), ('name', 'x')])"
    assert any("\x1b[31m" in line for line in shown_in_terminal(fields, 80, TERM="xterm"))
    for refusing in ({"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}):
        assert not any("\x1b" in line for line in in_terminal(80, **refusing))
        assert not any("\x1b" in line for line in shown_in_terminal(fields, 80, **refusing))


def test_a_terminal_without_the_ellipsis_gets_dots() -> None:
    lines = in_terminal(80, PYTHONIOENCODING="ascii:backslashreplace")
    assert any("..." in line for line in lines)
    assert not any("\\u2026" in line for line in lines)
