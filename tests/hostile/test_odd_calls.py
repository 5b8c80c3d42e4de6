"""Whatever the command line is given, it ends with a code and words, and never with a traceback:
arguments and files by chance (with a fixed seed), odd environments, closed and full streams."""

import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest

from hodei.access.roles import OF_KEYS, Role
from hodei.cli import program, suggestions
from hodei.cli.main import cli
from tests.hostile.keyed import Keyed
from tests.running import Hodei

CALLS = 400
OF_EACH_ROLE = 80
SEED = 20261126

LEFT_OUT = {("dev",), ("server",), ("worker", "run")}
"""Commands that become another program, or run until they are ended."""

ALWAYS: dict[tuple[str, ...], list[str]] = {
    ("job", "run"): ["--detach"],
    ("job", "wait"): ["--timeout", "1ms"],
}
"""What keeps a command from waiting for a job that never runs."""

NEVER = {"follow", "help", "cancel_on_interrupt"}


def commands() -> dict[tuple[str, ...], click.Command]:
    """The commands that are no groups, by their words."""
    root = click.Context(cli, info_name="hodei")
    found: dict[tuple[str, ...], click.Command] = {}
    for path in suggestions.command_paths(root):
        here = root
        for word in path:
            assert isinstance(here.command, click.Group)
            command = here.command.get_command(here, word)
            assert command
            here = click.Context(command, parent=here, info_name=word)
        if not isinstance(here.command, click.Group) and path not in LEFT_OUT:
            found[path] = here.command
    return found


def odd_files(folder: Path) -> list[str]:
    files = {
        "empty": b"",
        "bytes": bytes(range(256)) * 40,
        "deep": b"[" * 100_000,
        "long.json": b'{"command": "' + b"x" * 3_000_000 + b'"}',
        "list.json": b'[1, null, {"command": 1}, {"command": "true", "x": 1}]',
        "lines.jsonl": b'{"command": "true"}\nnot json\n',
        "odd.yaml": b"a: &a [*a]\n",
        "bomb.yaml": b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "tag.yaml": b"!!python/object/apply:os.system ['true']\n",
        "name\x1b[31m": b"#!/bin/sh\ntrue\n",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [
        *(str(folder / name) for name in files),
        str(folder),
        "/dev/full",
        "/proc/self/mem",
        "-",
    ]


def values(chance: random.Random, files: list[str], ids: list[str]) -> Iterator[str]:
    """Values by chance, for ever."""
    odd = [
        "", " ", "-", "--", "=", "a=", "=b", "a=b", "0", "-1", "1.5", "nan", "inf", "1e999", "9" * 30,
        "²", "٣", "\x00", "a\x00b", "\udcff", "\x1b[31m", "\x9b", "\u202e", "é日本😀", "a\nb\tc\r",
        "%s%n%_\\", "{}", "[]", "null", "true", "'", '"', "$(id)", "*", "[", "[a-", "?", "x" * 1_000_000,
        "10m", "1h30m", "-5s", "1e3s", "99999999999d", "2026-01-31T12:00:00Z", "0000-00-00",
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "+10m", "+99999999d",
        "PENDING", "pending,RUNNING", ",,", "TIMEOUT", "json", "yaml", "table", "127.0.0.1:1,",
        "/", "/nowhere", "..", "a/b", "0022", "9999", "KILL", "TERM",
    ]  # fmt: skip
    while True:
        yield chance.choice(chance.choice([odd, odd, files, ids]))


def calls(
    files: list[str], ids: list[str], count: int = CALLS, seed: int = SEED
) -> Iterator[list[str]]:
    """Calls of commands with flags of theirs, and with some that they do not have."""
    chance = random.Random(seed)
    known = commands()
    value = values(chance, files, ids)
    for _ in range(count):
        path = chance.choice(list(known))
        words = [*path, *ALWAYS.get(path, ())]
        options = [p for p in known[path].params if isinstance(p, click.Option)]
        for option in chance.sample(options, min(len(options), chance.randrange(4))):
            if option.name not in NEVER and option.name != "server":
                words.append(chance.choice(option.opts))
                words += [] if option.is_flag else [next(value)]
        words += [next(value) for _ in range(chance.choice([0, 1, 1, 2]))]
        if chance.random() < 0.1:
            words.insert(chance.randrange(len(words)), next(value))
        yield words


def test_arguments_by_chance_end_with_words(
    fresh: Hodei,
    tmp_path: Path,
    submits: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: PTH123, SIM115  closed with the process
    monkeypatch.setenv("HODEI_SERVER", ",".join(fresh.addresses))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    ids = [fresh.submit("--command", "true"), fresh.submit("--script", "-", stdin=b"true")]
    ids += [ids[0][-8:], ids[1][:6], ids[1][:-1], str(uuid.uuid4()), "abcdef", "0123456"]
    assert {0, 2, 125} <= codes_of(calls(odd_files(tmp_path), ids), capsys)


@pytest.mark.parametrize("role", OF_KEYS)
def test_arguments_by_chance_with_a_key_of_each_role(
    keyed: Keyed,
    role: Role,
    tmp_path: Path,
    submits: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: PTH123, SIM115  closed with the process
    monkeypatch.setenv("HODEI_SERVER", keyed.address)
    monkeypatch.setenv("HODEI_API_KEY", keyed.keys[role])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    before = keyed.rows()
    some = calls(odd_files(tmp_path), keyed.ids, OF_EACH_ROLE, SEED + OF_KEYS.index(role))
    assert {2, 125} <= codes_of(some, capsys, keyed.keys[role])
    keyed.check_unchanged(role, before)


def codes_of(
    some: Iterator[list[str]], capsys: pytest.CaptureFixture[str], key: str = "no key"
) -> set[object]:
    """The exit codes of calls that end as they should, and never tell a key."""
    codes: set[object] = set()
    wrong = []
    for words in some:
        with pytest.raises(SystemExit) as end:
            program.run(cli, "hodei", args=words, failed=125, tracebacks=False)
        said = capsys.readouterr()
        codes.add(end.value.code)
        bad = what_is_wrong(end.value.code, said.out, said.err)
        if bad or key in said.out + said.err:
            wrong.append((bad, [word[:100] for word in words], said.err[:1000]))
    assert wrong == []
    return codes


def what_is_wrong(code: object, out: str, err: str) -> list[str]:
    rules = {
        "code": code in (0, 1, 2, 125),
        "a defect": "defect of Hodei" not in err and "Traceback" not in err,
        "too much": len(err) < 20_000,
        "controls": "\x1b" not in out + err,
        "no words": bool(err) or code in (0, 1),
    }
    return [rule for rule, holds in rules.items() if not holds]


SHELL_CALLS = (
    "hodei status <&- >&- 2>&-",
    "hodei status >/dev/full 2>/dev/full",
    "hodei job list 2>/dev/full >&-",
    "hodei job get nonsense 2>&-",
    "hodei nonsense 2>/dev/full",
    "hodei job submit --file / ",
    "hodei job submit --file /dev/full",
    "hodei job submit --file <(head -c 100 /dev/urandom)",
    "hodei job run --script / --detach",
    "hodei job run --name $(head -c 130000 /dev/zero | tr '\\0' x) --detach -- true",
    "hodei job run $'--\\xff' --detach -- true",
    "hodei $'\\xff\\xfe'",
    "HODEI_JOB_LIST_LIMIT=$'\\xff' hodei job list",
    "HODEI_FORMAT=xml hodei job list",
    "HODEI_UTC=perhaps hodei job list",
    "HODEI_SERVER_ADDRESS=$'\\xff:1' HODEI_SERVER= hodei status",
    "COLUMNS=-5 LINES=x TERM= hodei job list",
    "TZ=$'no/where\\x1b' hodei job list",
    'XDG_STATE_HOME=/dev/null HOME= hodei job submit --file <(echo \'{"command": "true"}\')',
    "PYTHONIOENCODING=utf-16 hodei job list --format json >/dev/null",
    "PYTHONIOENCODING=nonsense hodei job list",
    "LC_ALL=nonsense LANG=xx hodei job list --format yaml >/dev/null",
    "env -i $HODEI status",
    "hodei dev --data-dir $'\\xff'",
    "hodei dev --data-dir /dev/null",
    "hodei dev --data-dir '~nobody-has-this-name/x'",
    "hodei dev --port 65535",
    "$WORKER --name $'\\xff' --state-dir /nowhere",
    "$WORKER --label a=$'\\xff' --state-dir /nowhere",
    "$WORKER --state-dir $'/nowhere/\\xff'",
    "$WORKER --state-dir /dev/null",
)


def test_odd_environments_and_streams_end_with_words(fresh: Hodei) -> None:
    fresh.submit("--command", "true")
    servers = ",".join(fresh.addresses)
    program_text = f"{sys.executable} -m hodei.cli.main"
    head = f'HODEI="{program_text} --server {servers}"; hodei() {{ {program_text} "$@"; }}\n'
    head += f'WORKER="{sys.executable} -m hodei_worker"\n'

    def ran(call: str) -> tuple[str, int, bytes]:
        done = subprocess.run(
            ["bash", "-c", head + call],
            env=os.environ | {"HODEI_SERVER_ADDRESS": servers},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=120,
        )
        return call, done.returncode, done.stderr

    with ThreadPoolExecutor(4) as pool:
        for call, code, err in pool.map(ran, SHELL_CALLS):
            assert b"Traceback" not in err, (call, err)
            assert b"defect of Hodei" not in err, (call, err)
            assert code in (0, 1, 2, 125), (call, code, err)
