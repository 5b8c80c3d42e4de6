"""What all commands have in common: the global flags, names in the environment, answers to wrong
words, and errors for programs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import hodei
from hodei.cli import program, show, suggestions
from hodei.cli.errors import described, wants_document
from hodei.cli.groups import Group
from hodei.cli.help import context_of
from hodei.cli.main import cli
from hodei.shapes.error import Error, ErrorKind
from hodei.shapes.fields import fields_of


def ended(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        program.run(cli, "hodei", args=words, failed=125, tracebacks=False)
    said = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, said.out, said.err


def contexts() -> Iterator[click.Context]:
    """The context of every command."""
    root = click.Context(cli, info_name="hodei", **cli.context_settings)
    yield root
    for path in suggestions.command_paths(root):
        here = root
        for word in path:
            assert isinstance(here.command, click.Group)
            command = here.command.get_command(here, word)
            assert command
            here = click.Context(command, parent=here, info_name=word)
        yield here


def test_every_command_has_help_an_example_and_the_global_flags() -> None:
    found = list(contexts())
    assert len(found) > 20
    for ctx in found:
        text = ctx.get_help()
        assert "Example:" in text, ctx.command_path
        flags = {spelled for param in ctx.command.params for spelled in param.opts}
        assert {"--server", "--utc", "--version"} <= flags | (
            {"--server"} if ctx.info_name == "server" else set()
        ), ctx.command_path


def test_every_flag_has_a_name_in_the_environment_that_its_help_shows() -> None:
    seen = 0
    for ctx in contexts():
        for option in ctx.command.params:
            if (
                not isinstance(option, click.Option)
                or option.hidden
                or not option.allow_from_autoenv
            ):
                continue
            if option.name in ("version", "help"):
                continue
            help_record = option.get_help_record(ctx)
            assert help_record
            assert option.help, (ctx.command_path, option.opts)
            assert option.envvar, (ctx.command_path, option.opts)
            names = [option.envvar] if isinstance(option.envvar, str) else option.envvar
            shown = " ".join(help_record[1].split())
            assert all(name in shown for name in names), (ctx.command_path, option.opts)
            seen += 1
    assert seen > 60


def probe() -> tuple[click.Group, list[tuple[object, object, object]]]:
    """A root with a group and a command, which notes what it was given."""
    noted: list[tuple[object, object, object]] = []

    @click.command(epilog="Example:")
    @show.format_option
    @click.pass_obj
    def leaf(servers: str, output: str) -> None:
        utc = click.get_current_context().meta.get(show.UTC_KEY, False)
        noted.append((servers, output, utc))

    root = Group("hodei", params=list(cli.params))
    group = Group("group")
    group.add_command(leaf)
    root.add_command(group)
    return root, noted


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("group leaf", ("127.0.0.1:50051", "table", False)),
        ("--server a:1 --utc -o json group leaf", ("a:1", "json", True)),
        ("group --server a:1 --utc leaf", ("a:1", "table", True)),
        ("group leaf --utc --server a:1 --format yaml", ("a:1", "yaml", True)),
        ("--server a:1 group --server b:1 leaf --server c:1", ("c:1", "table", False)),
        ("--server a:1 --format json group leaf --format table", ("a:1", "table", False)),
    ],
)
def test_global_flags_stand_before_or_after_the_command(
    words: str, given: tuple[object, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))  # without a context of this user
    for name in ("HODEI_SERVER", "HODEI_SERVER_ADDRESS", "HODEI_FORMAT", "HODEI_UTC"):
        monkeypatch.delenv(name, raising=False)
    root, noted = probe()
    root.main(words.split(), standalone_mode=False)
    assert noted == [given]


def test_the_environment_has_the_global_flags_too(monkeypatch: pytest.MonkeyPatch) -> None:
    root, noted = probe()
    monkeypatch.setenv("HODEI_SERVER", "e:1")
    monkeypatch.setenv("HODEI_FORMAT", "yaml")
    monkeypatch.setenv("HODEI_UTC", "1")
    root.main(["group", "leaf"], standalone_mode=False)
    monkeypatch.setenv("HODEI_GROUP_LEAF_FORMAT", "json")
    root.main(["group", "leaf", "--server", "a:1"], standalone_mode=False)
    assert noted == [("e:1", "yaml", True), ("a:1", "json", True)]


def test_the_version_is_told_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["job", "--version"], ["job", "list", "--version"]):
        assert ended(capsys, *words) == (0, f"hodei, version {hodei.__version__}\n", "")


def test_help_is_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["job"], ["job", "list"]):
        _, by_flag, _ = ended(capsys, *words, "--help")
        assert ended(capsys, "help", *words) == (0, by_flag, "")
        assert ended(capsys, *words, "-h") == (0, by_flag, "")


FORMATS = [
    (["--format", "json"], {}, True),
    (["x", "--format=yaml"], {}, True),
    (["-ojson"], {}, True),
    (["-o", "json", "-o", "table"], {}, False),
    (["--", "-o", "json"], {}, False),
    ([], {"HODEI_FORMAT": "json"}, True),
    (["-o", "table"], {"HODEI_FORMAT": "json"}, False),
    ([], {}, False),
]


@pytest.mark.parametrize(("words", "environment", "wanted"), FORMATS)
def test_errors_follow_the_format(
    words: list[str], environment: dict[str, str], wanted: bool
) -> None:
    assert wants_document(words, environment) is wanted


def test_an_error_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended(capsys, "job", "list", "--limit", "\x9b\u202e", "-o", "json")
    assert (code, out, err.count("\n"), err.rstrip("\n").isprintable()) == (2, "", 1, True)
    message = "--limit: expected a whole number from 1 to 100000, got '\\x9b\\u202e'"
    assert json.loads(err) == {"error": {"message": message, "kind": "usage", "exit_code": 2}}


def test_the_page_lists_each_kind_of_error() -> None:
    (meaning,) = [field.meaning for field in fields_of(Error) if field.name == "kind"]
    assert set(re.findall(r"(?:^|: |, |, or )([a-z_]+)(?= \(|,|\.)", meaning)) == set(ErrorKind)


def test_a_defect_is_one_line_unless_its_place_is_asked_for() -> None:
    code = (
        "import click; from hodei.cli import program\n"
        "def fail(): raise KeyError('x\\x1b')\n"
        "program.run(click.Command('c', callback=fail), 'c', args=[], failed=125, tracebacks=False)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 125
    assert ran.stderr.count("\n") == 1
    assert "KeyError" in ran.stderr
    assert "\x1b" not in ran.stderr
    asked = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"HODEI_TRACEBACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" in asked.stderr


def test_an_error_without_a_code_of_its_own_gets_the_programs() -> None:
    assert described(click.ClickException("x"), 7).exit_code == 7
    assert described(click.UsageError("x"), 7).exit_code == 2


RUNS_OR_EXPLAINS = {"worker run", "dev", "server", "completion", "help"}
"""Commands that print no data: they run until they are ended, or print text for a shell or a reader."""


def test_every_other_command_knows_formats() -> None:
    root = click.Context(cli, info_name="hodei")
    without = set()
    for path in suggestions.command_paths(root):
        command = context_of(root, path).command
        flags = {spelled for param in command.params for spelled in param.opts}
        if not isinstance(command, click.Group) and "--format" not in flags:
            without.add(" ".join(path))
    assert without == RUNS_OR_EXPLAINS


@pytest.mark.parametrize(
    "words",
    [
        ("job", "submit", "--script", "/no\nfile"),
        ("job", "submit", "--file", "/no\nfile"),
        ("job", "run", "--env-file", "/no\nfile", "--command", "true"),
        ("job", "submit", "--label", "a\nb=1", "--command", "true"),
        ("job", "submit", "--timeout", "1\ns", "--command", "true"),
        ("--tls-ca", "/no\nfile", "--server", "https://127.0.0.1:1", "job", "list"),
        ("db", "check", "--database-url-file", "/no\nfile"),
    ],
)
def test_what_was_given_begins_no_line_of_an_error(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    _, _, said = ended(capsys, *words)
    first, *further = said.splitlines()
    assert "\\n" in first
    assert all(line.startswith("Help: ") for line in further), said
