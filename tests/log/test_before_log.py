"""What programs say before their log is set up: JSON for who reads a log of JSON, else a line for
people."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVER, WORKER = ["hodei.cli.server"], ["hodei_worker"]


def ran(*argv: str, to: str = os.devnull, **own: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if "DATABASE_URL" not in k}
    with Path(to).open("w") as stdout:
        return subprocess.run(
            [sys.executable, *argv],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | own,
            timeout=30,
            check=False,
        )


def objects(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("program", [SERVER, WORKER, ["hodei.cli.main", "server"]])
def test_a_help_that_cannot_be_written_is_told_in_json(program: list[str]) -> None:
    done = ran("-m", *program, "--log-format=json", "--help", to="/dev/full")
    (line,) = objects(done.stderr)
    assert (done.returncode, line["message"]) == (
        1,
        "cannot write the output: No space left on device",
    )


def test_a_server_started_by_hodei_says_in_json_what_is_wrong() -> None:
    done = ran("-m", "hodei.cli.main", "server", "--log-format", "json", "--keep-days", "x")
    (line,) = objects(done.stderr)
    assert line["message"] == "--keep-days: expected a whole number, got 'x'"
    assert done.returncode == 2


PROGRAM = """
import os, signal, sys, warnings
import click
from hodei_worker import before_log

@click.command()
def program():
    warnings.warn("old")
    {act}

before_log.run(program, "program", [], log_format="json")
"""


@pytest.mark.parametrize(
    ("act", "code", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGINT)", 130, ["warning"]),
        ("raise RuntimeError('a fault')", 1, ["warning", "critical"]),
        ("raise BrokenPipeError(32, 'gone')", 141, ["warning"]),
    ],
)
def test_whatever_ends_a_start_no_line_is_raw(act: str, code: int, said: list[str]) -> None:
    done = ran("-c", PROGRAM.format(act=act))
    assert (done.returncode, [line["level"] for line in objects(done.stderr)]) == (code, said)


def test_a_worker_shows_no_control_of_a_name_that_it_was_given(tmp_path: Path) -> None:
    state = ["--state-dir", str(tmp_path / "w")]
    done = ran("-m", *WORKER, *state, "--token-file", "/no\n\x1b[31mfile")
    assert done.stderr == "Error: --token-file /no\\n\\x1b[31mfile: No such file or directory\n"
    done = ran("-m", *WORKER, *state, "--label", "x\ny")
    assert (done.stderr.count("\n"), done.returncode) == (1, 2)
    done = ran("-m", *WORKER, *state, "--slots", "1_0")
    assert done.stderr == "Error: --slots: expected a whole number, got '1_0'\n"


@pytest.mark.parametrize("program", [SERVER, WORKER])
def test_a_wrong_flag_ends_a_program_whose_stderr_is_closed(program: list[str]) -> None:
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", *program, "--nope"]
    assert subprocess.run(closed, timeout=30, check=False).returncode == 2
