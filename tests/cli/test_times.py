"""Durations in the flags of all three programs are read alike."""

import subprocess
import sys

import click
import pytest

from hodei.cli.times import seconds
from hodei.config import seconds as servers
from hodei.domain.errors import Invalid
from hodei_worker.config import BadSetting
from hodei_worker.config import seconds as workers

READ = {"90": 90, "1.5": 1.5, "90s": 90, "1h30m": 5400, "2d": 172_800, "1w": 604_800, "500ms": 0.5}


@pytest.mark.parametrize(("text", "value"), READ.items())
def test_each_reads_the_same_texts(text: str, value: float) -> None:
    assert seconds(text, "--x") == servers(text, "--x") == workers(text, "--x") == value


@pytest.mark.parametrize("text", ["", "soon", "-1", "1h 30m", "nan", "inf", "1e3", "9" * 400])
def test_each_refuses_the_others_with_the_flag_and_an_example(text: str) -> None:
    words = f'--x: expected seconds, as 90, "90s" or "1h30m", got "{text[:80]}"'
    said = []
    for read, refusal in (
        (seconds, click.UsageError),
        (servers, Invalid),
        (workers, BadSetting),
    ):
        with pytest.raises(refusal) as caught:
            read(text, "--x")
        said.append(getattr(caught.value, "message", str(caught.value)))
    assert said == [words] * 3


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (
            ["hodei.cli.server", "--lost-after", "soon", "--database-url", "postgresql:///x"],
            '--lost-after: expected seconds, as 90, "90s" or "1h30m", got "soon"',
        ),
        (
            ["hodei.cli.server", "--lost-after", "0.5m", "--database-url", "postgresql:///x"],
            "--lost-after: expected at least 45 s (UNREACHABLE comes at 30 s), got 30",
        ),
        (
            ["hodei_worker", "--drain-timeout", "1x"],
            '--drain-timeout: expected seconds, as 90, "90s" or "1h30m", got "1x"',
        ),
    ],
)
def test_server_and_worker_end_with_the_words(program: list[str], words: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", *program], capture_output=True, text=True, check=False, timeout=30
    )
    assert (ran.returncode, words in ran.stderr) == (2, True), ran.stderr
