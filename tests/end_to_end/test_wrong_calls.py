"""Wrong calls and the exact answers, which stand in wrong_calls.txt: what was wrong, what was
expected, what was given."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hodei.cli import program
from hodei.cli.main import cli
from tests.running import Hodei

TABLE = Path(__file__).with_name("wrong_calls.txt")

FILES = {
    "GOOD": '{"command": "true"}',
    "BAD": '[{"command": "true"}, {"command": "true", "retries": -1}]',
    "LINES": '{"command": "true"}\n{"command": "true"}\n{"command": \n',
    "YAML": "command: echo\ntimeout: soon\nenv:\n  - A\n",
}


def table() -> list[tuple[str, str]]:
    """Calls, and for each the exit code and what stands on standard error."""
    blocks = re.split(r"^\$ hodei ", TABLE.read_text(), flags=re.M)[1:]
    return [(call, answer.strip("\n")) for call, _, answer in (b.partition("\n") for b in blocks)]


def named(hodei: Hodei, folder: Path) -> dict[str, str]:
    """The words of the table that stand for something of this system."""
    words = {"WAITING": hodei.submit("--command", "true", "--label", "never=there", "--name", "w")}
    words["ENDED"] = hodei.submit("--command", "true", "--label", "never=there", "--name", "e")
    hodei.ok("job", "cancel", words["ENDED"])
    for name, content in FILES.items():
        (folder / name).write_text(content)
        words[name] = str(folder / name)
    return words | {"SERVERS": ",".join(hodei.addresses)}


@pytest.fixture
def answers(
    fresh: Hodei,
    tmp_path: Path,
    submits: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[tuple[str, str]]]:
    """What is really answered to the calls of the table, in its form."""
    monkeypatch.setattr("hodei.cli.client.CONNECT_S", 0.2)
    monkeypatch.setenv("HODEI_SERVER", ",".join(fresh.addresses))
    for variable in ("DATABASE_URL", "HODEI_DATABASE_URL", "HODEI_DATABASE_URL_FILE"):
        monkeypatch.delenv(variable, raising=False)
    words = named(fresh, tmp_path)
    found = []
    with open(os.devnull) as nothing:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", nothing)
        for call, _ in table():
            args = [words.get(one, one) for one in shlex.split(call)]
            with pytest.raises(SystemExit) as end:
                program.run(cli, "hodei", args=args, failed=125, tracebacks=False)
            said = capsys.readouterr().err
            for name, real in words.items():
                said = said.replace(real, name)
            found.append((call, f"{end.value.code}\n{said}".strip("\n")))
    yield found


def test_wrong_calls_get_exactly_these_answers(
    answers: list[tuple[str, str]], tmp_path: Path
) -> None:
    expected = table()
    assert len(expected) >= 60
    real = tmp_path / "answers.txt"
    real.write_text("\n".join(f"$ hodei {call}\n{answer}\n" for call, answer in answers))
    wrong = [one for one, other in zip(answers, expected, strict=True) if one != other]
    assert wrong == [], f"the answers of today are in {real}"
    for call, answer in expected:
        assert answer.startswith(("2\n", "125\n", "1\n")), call
        assert "Traceback" not in answer
