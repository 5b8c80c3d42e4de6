"""Environment variables and files that a job takes from the user's side."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import click
import pytest

from hodei.cli.spec_input import environment


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "job.env"


def test_a_file_of_variables_is_read_as_docker_reads_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "from here")
    file.write_bytes(
        b'# a comment\n\n  \nA=1\n  B=two words # no comment\r\nC="quoted"\nD=\nMINE\nE=a=b\n  # x\n'
    )
    assert environment([str(file)], []) == {
        "A": "1",
        "B": "two words # no comment",
        "C": '"quoted"',
        "D": "",
        "MINE": "from here",
        "E": "a=b",
    }


def test_the_later_one_counts_and_a_flag_goes_before_a_file(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.env"
    file.write_text("A=1\nA=2\nB=1\nC=1\n")
    other.write_text("B=2\nC=2\n")
    found = environment([str(file), str(other)], ["C=3", "D=1", "D=2"])
    assert found == {"A": "2", "B": "2", "C": "3", "D": "2"}


def test_a_variable_that_is_not_set_and_lines_that_are_none_are_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_HERE", raising=False)
    with pytest.raises(click.UsageError, match=r"^--env: NOT_HERE is not set here: set it, or"):
        environment([], ["NOT_HERE"])
    for text, words in (
        ("A=1\nNOT_HERE\n", "line 2: NOT_HERE is not set here"),
        ("A=1\n\nexport B=1\n", "line 3: expected NAME=VALUE, or the NAME"),
        ("1A=x\n", "got another form"),
        ("=x\n", "got another form"),
        ("a b\x1b=x\n", "got another form"),
    ):
        file.write_text(text)
        with pytest.raises(click.UsageError) as refusal:
            environment([str(file)], [])
        assert refusal.value.message.startswith(f"--env-file {file} line")
        assert words in refusal.value.message
    file.write_bytes(b"A=\xff\n")
    with pytest.raises(click.UsageError, match="expected UTF-8 text, got byte 0xff at 2"):
        environment([str(file)], [])
    file.write_bytes(b"A=" + b"x" * 300_000)
    with pytest.raises(click.UsageError, match="expected at most 262144 bytes"):
        environment([str(file)], [])


def test_a_terminal_is_read_to_ctrl_d_and_that_is_said() -> None:
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "hodei.cli.main",
        "job",
        "submit",
        "--dry-run",
        "-i",
        "--",
        "cat",
    ]
    try:
        with subprocess.Popen(
            command, stdin=theirs, stdout=PIPE, stderr=PIPE, text=True
        ) as process:
            assert process.stderr
            said = process.stderr.readline()
            assert said == "hodei: --stdin reads what you type; end it with Ctrl-D\n"
            os.write(ours, b"typed\n\x04")
            out, _ = process.communicate(timeout=20)
    finally:
        os.close(ours)
        os.close(theirs)
    assert json.loads(out) == {"command": ["cat"], "stdin": "typed\n"}
