"""What others wrote neither breaks a table nor steers a terminal; JSON stays the data."""

import json

import pytest

from hodei.cli import show

ODD = "a\x1b[31mred\x07\x9b\n\u202eb\tc"


def test_tables_show_controls_escaped_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(["id", "name"], [["1", ODD], ["2", "plain"]], none="none")
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 4, "head, line, two rows"
    assert r"a\x1b[31mred\x07\x9b\n\u202eb\tc" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_fields_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    show.fields([("name", ODD), ("state", "RUNNING")])
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2
    assert all(line.isprintable() for line in out.splitlines())


def test_json_is_exact_and_holds_no_control(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": ODD, "é": "\ud800 \x7f \x85 \u2028 日本 😀"}
    show.write_json(value)
    out = capsys.readouterr().out.rstrip("\n")
    assert json.loads(out) == value
    assert out.isprintable()
    assert "é" in out
    assert "日本" in out


def test_times_beyond_the_calendar_are_never() -> None:
    assert show.instant(None) == show.clock(None) == ""
    assert show.instant(0) == "1970-01-01T00:00:00.000000Z"
    assert show.instant(1) == "1970-01-01T00:00:00.000001Z"
    assert show.instant(2**62) == show.clock(2**62) == "never"
    assert show.instant(-(2**62)) == "never"
    assert show.clock(253_402_300_799_000_000), "the calendar's last second"
