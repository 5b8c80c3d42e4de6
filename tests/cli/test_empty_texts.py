"""An empty text is no value of a flag. In a script it comes from a variable that is not set, and would
mean the same as no flag: a key for all projects, or one that never expires."""

import click
import pytest
from click.testing import CliRunner

from hodei.cli import suggestions
from hodei.cli.server import server
from hodei_worker.cli import worker
from tests.cli.test_frame import contexts, ended


def text_flags(command: click.Command) -> list[str]:
    options = [param for param in command.params if isinstance(param, click.Option)]
    return [max(option.opts, key=len) for option in options if not option.is_flag]


def test_no_flag_of_any_command_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    tried = 0
    for ctx in contexts():
        for flag in text_flags(ctx.command):
            code, out, err = ended(capsys, *suggestions.words_of(ctx), flag, "")
            assert (code, out) == (2, ""), (ctx.command_path, flag)
            assert err.startswith(f"Error: {flag}: expected "), err
            tried += 1
    assert tried > 200


@pytest.mark.parametrize("program", [server, worker], ids=["hodei-server", "hodei-worker"])
def test_no_flag_of_a_server_or_a_worker_takes_it(program: click.Command) -> None:
    for flag in text_flags(program):
        ran = CliRunner().invoke(program, [flag, ""])
        assert (ran.exit_code, flag in ran.output) == (2, True), ran.output


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_variable_does_not_take_a_limit_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("HODEI_PROJECT", text)
    ran = CliRunner().invoke(worker, ["--server", "127.0.0.1:1"])
    assert (ran.exit_code, "HODEI_PROJECT: expected a value" in ran.output) == (2, True)
    for name in ("PROJECT", "EXPIRES"):
        monkeypatch.setenv(f"HODEI_APIKEY_CREATE_{name}", text)
        words = ("apikey", "create", "--role", "admin", "--name", "ana")
        code, _, err = ended(capsys, *words)
        assert (code, f"_{name}: expected a value, got an empty one; unset it" in err) == (2, True)
        monkeypatch.delenv(f"HODEI_APIKEY_CREATE_{name}")
