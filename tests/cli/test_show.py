"""What others wrote neither breaks a table nor steers a terminal; documents stay the data."""

import json
import random

import pytest
import yaml

from hodei.cli import show
from hodei.cli.show.documents import write_yaml
from hodei.domain.job import JobState
from hodei.domain.job_change import Refusal
from hodei.shapes.fleet import Token
from hodei.shapes.job import Job, JobChange

ODD = "a\x1b[31mred\x07\x9b\n\u202eb\tc"


def test_tables_show_controls_escaped_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [show.Column("id"), show.Column("name")]
    show.table(columns, [["1", ODD], ["2", "plain"]], none="none")
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 3, "head, two rows"
    assert r"a\x1b[31mred\x07\x9b\n\u202eb\tc" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_fields_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    show.fields([("name", ODD), ("state", "RUNNING"), ("left out", "")])
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2
    assert all(line.isprintable() for line in out.splitlines())


VALUE = {
    "name": ODD,
    "é": "\ud800 \x7f \x85 \u2028 日本 😀",
    "no": ["no", "1", "", " x", "null", "2026-01-31", "a: b #c", "- d", "\r\n\r"],
    "long": "x y " * 500,
    "numbers": [1, -2.5, None, True],
}


def test_json_is_exact_and_holds_no_control(capsys: pytest.CaptureFixture[str]) -> None:
    show.write_json(VALUE)
    out = capsys.readouterr().out.rstrip("\n")
    assert json.loads(out) == VALUE
    assert out.isprintable()
    assert "é" in out
    assert "日本" in out


def test_yaml_is_exact_and_holds_no_control(capsys: pytest.CaptureFixture[str]) -> None:
    write_yaml(VALUE)
    out = capsys.readouterr().out
    assert yaml.safe_load(out) == VALUE
    assert all(line.isprintable() for line in out.split("\n"))
    assert "日本" in out


def test_a_format_is_a_document_or_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    job = Job(job_id="1", name="n", state="PENDING")
    assert not show.emit("table", job)
    assert show.emit("json", [job, job])
    assert [one["job_id"] for one in json.loads(capsys.readouterr().out)] == ["1", "1"]
    assert show.emit("yaml", job)
    assert yaml.safe_load(capsys.readouterr().out)["state"] == "PENDING"


def test_streams_are_a_document_each(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = [Token(token_id=str(n), state="USABLE") for n in range(3)]
    assert not show.emit_line("table", tokens[0])
    for token in tokens:
        assert show.emit_line("json", token)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["token_id"] for line in lines] == ["0", "1", "2"]
    for token in tokens:
        show.emit_line("yaml", token)
    found = yaml.safe_load_all(capsys.readouterr().out)
    assert [one["token_id"] for one in found] == ["0", "1", "2"]


def test_words_of_enums_are_text_in_each_format(capsys: pytest.CaptureFixture[str]) -> None:
    change = JobChange(job_id="1", refusal=Refusal.ENDED, state=JobState.FAILED)
    for output in ("json", "yaml"):
        assert show.emit(output, [change])
        (found,) = yaml.safe_load(capsys.readouterr().out)
        assert (found["refusal"], found["state"]) == ("ENDED", "FAILED"), output


def test_yaml_has_each_line_of_a_text_on_its_own_line_and_loads_as_it_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_yaml({"script": "#!/bin/sh -e\nwc -w\n", "name": "a: b"})
    assert capsys.readouterr().out == "script: |\n  #!/bin/sh -e\n  wc -w\nname: 'a: b'\n"
    parts = [
        "a",
        "b ",
        "\n",
        " ",
        "\t",
        "\x1b",
        "\x9b",
        "\u2028",
        "\r",
        "#",
        ": ",
        "- ",
        "'",
        '"',
        "\\",
    ]
    dice = random.Random(3)
    for _ in range(300):
        value = {"text": "".join(dice.choices(parts, k=dice.randint(0, 12)))}
        write_yaml(value)
        shown = capsys.readouterr().out
        assert yaml.safe_load(shown) == value
        assert not set(shown) & set("\x1b\x9b\u2028")
