"""Flags that describe a job: odd values are refused in words."""

import io
import re
import sys
from pathlib import Path

import click
import pytest

from hodei.cli.job_submit import submit
from hodei.cli.spec_input import read_file
from hodei.cli.times import moment, seconds
from hodei.domain.spec_keys import KNOWN
from tests.conftest import TREE


def test_moments_come_with_their_offset() -> None:
    assert moment("2026-01-31T12:00:00+01:00") == "2026-01-31T11:00:00.000000Z"
    assert moment("2026-01-31T12:00:00Z") == "2026-01-31T12:00:00.000000Z"


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00", "2026-01-31", "2026-01-31 12:00"])
def test_a_moment_without_offset_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.UsageError, match="time with its offset, as 2026-01-31T12:00:00Z"):
        moment(text)


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "+9999999999d",
        "+" + "9" * 400,
        "tomorrow",
        "",
        "+",
        "+-1",
    ],
)
def test_moments_beyond_the_calendar_are_words(text: str) -> None:
    with pytest.raises(click.UsageError, match="--run-at: expected"):
        moment(text)


@pytest.mark.parametrize(
    "text", ["9" * 400, "1e5", "nan", "inf", "-1", "999999999w", "1h30", " 5m", ""]
)
def test_durations_are_bounded(text: str) -> None:
    with pytest.raises(click.UsageError, match="--timeout: expected"):
        seconds(text, "--timeout")


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(click.UsageError, match="--stdin /dev/zero: expected at most 262144 bytes"):
        read_file("/dev/zero", "--stdin")


def test_files_that_cannot_be_read_are_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(click.UsageError, match="Is a directory"):
        read_file(str(tmp_path), "--script")
    with pytest.raises(click.UsageError, match="expected the name of a file"):
        read_file("a\0b", "--script")
    monkeypatch.setattr(sys, "stdin", None)
    assert read_file("-", "--stdin") == b"", "standard input may be closed"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x" * 11)))
    with pytest.raises(click.UsageError, match="at most 10"):
        read_file("-", "--stdin", 10)


OTHER_FLAGS = {
    "id": "job_id",
    "labels": "label",
    "final_exit_codes": "final_exit_code",
    "stdin": "stdin_file",
    "stdin_base64": "stdin_file",
    "volumes": "volume",
}


def test_each_key_of_a_spec_has_a_flag_and_a_place_in_the_docs() -> None:
    flags = {parameter.name for parameter in submit.params}
    page = (TREE / "docs/job-spec.md").read_text()
    for key in KNOWN:
        assert OTHER_FLAGS.get(key, key) in flags
        assert f"`{key}`" in page, key
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| `?[-–n]", page, re.M)
    assert {key for row in rows for key in re.findall(r"\w+", row)} <= set(KNOWN)
    assert len(rows) > 15
