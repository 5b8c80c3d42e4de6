"""A server that lies to `hodei`: each command ends with a code and one clear line, whatever comes."""

import os
import random
import re
import signal
import sys
import time
import types
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from hodei.cli import client, program
from hodei.cli.main import cli
from hodei.domain import api_key
from hodei.protocol import hodei_pb2 as pb
from tests.hostile.liar import Answer, Liar, listening
from tests.hostile.odd_requests import OddRequests

ID, OTHER = str(uuid.uuid4()), str(uuid.uuid4())

COMMANDS = (
    ["job", "attempts", ID],
    ["job", "attempts", ID, "--format", "json"],
    ["job", "cancel", ID, OTHER],
    ["job", "cancel", "--name", "x", "--yes"],
    ["job", "get", ID],
    ["job", "get", ID, "--format", "json"],
    ["job", "get", "abcdef"],
    ["job", "list"],
    ["job", "list", "--format", "json"],
    ["job", "list", "--format", "yaml"],
    ["job", "logs", ID],
    ["job", "logs", ID, "--format", "json"],
    ["job", "retry", ID, OTHER],
    ["job", "run", "--", "true"],
    ["job", "run", "--detach", "--", "true"],
    ["job", "submit", "--", "true"],
    ["job", "timeline", ID],
    ["job", "timeline", ID, "--format", "json"],
    ["job", "wait", ID, "--timeout", "2s"],
    ["worker", "drain", ID],
    ["worker", "get", ID],
    ["worker", "get", ID, "--format", "json"],
    ["worker", "list"],
    ["worker", "list", "--format", "json"],
    ["worker", "revoke", ID],
    ["token", "create"],
    ["token", "list"],
    ["token", "list", "--format", "json"],
    ["token", "revoke", ID],
    ["provider", "list"],
    ["provider", "list", "--format", "json"],
    ["provider", "show", "x"],
    ["provider", "pause", "x"],
    ["provider", "remove", "x"],
    ["provider", "adopt-engine", "x"],
    ["apikey", "create", "--role", "viewer", "--name", "x"],
    ["apikey", "list"],
    ["apikey", "list", "--format", "json"],
    ["apikey", "revoke", "x"],
    ["project", "list"],
    ["project", "grant", "x", "y"],
    ["project", "ungrant", "x", "y"],
    ["secret", "list"],
    ["secret", "list", "--format", "json"],
    ["secret", "remove", "x"],
    ["secret", "rotate"],
    ["secret", "set", "x", "--file", "VALUE"],
    ["audit"],
    ["audit", "--format", "json"],
    ["status"],
    ["status", "--format", "json"],
    ["login", "--name", "x"],
)

QUIET = (["get"], ["list"], ["create"], ["show"], ["revoke"], ["set"], ["submit"])
"""Verbs that do not follow anything: what goes wrong is one line, with a hint or two."""

SLOW = ("two answers", "no answer")
"""Lies for which a call waits as long as it may."""

ENDLESS = (
    ["job", "logs", ID],
    ["job", "run", "--", "true"],
    ["job", "wait", ID, "--timeout", "2s"],
)
"""Commands that wait for as long as it takes, without such a lie."""

RAW = (["job", "logs", ID], ["job", "run", "--", "true"])
"""Commands that print a job's output as it is, its stderr among our own lines."""


def nonsense(_method: Any, _context: Any) -> Iterator[bytes]:
    yield b"\xff\xff\xff"


def nothing(_method: Any, _context: Any) -> Iterator[bytes]:
    return iter(())


def empty(_method: Any, _context: Any) -> Iterator[bytes]:
    yield b""


def two_answers(_method: Any, _context: Any) -> Iterator[bytes]:
    yield from (b"", b"", b"")


def no_answer(_method: Any, context: Any) -> Iterator[bytes]:
    while context.is_active():
        time.sleep(0.05)
    yield b""


def ended_in_the_middle(_method: Any, context: Any) -> Iterator[bytes]:
    yield b""
    context.abort(grpc.StatusCode.UNKNOWN, "\x1b[31mred\x9b2J\nhodei: all is well")


def long_words(_method: Any, context: Any) -> Iterator[bytes]:
    context.set_trailing_metadata(
        (("grpc-status-details-bin", bytes(range(256))), ("odd-bin", b"\xff" * 500))
    )
    context.abort(grpc.StatusCode.NOT_FOUND, "\x1b]0;title\x07" + "é" * 1000 + "\u202e\x00")
    yield b""


def odd(seed: int, *, long: bool = False) -> Answer:
    requests = OddRequests(seed, [ID, OTHER, *(["\x1b[31m" + "語" * 100_000] if long else [])])

    def lie(method: Any, _context: Any) -> Iterator[bytes]:
        for _ in range(random.Random(seed).choice([1, 1, 3])):
            if method:
                yield requests.fill(GetMessageClass(method)()).SerializeToString()

    return lie


LIES: dict[str, Answer] = {
    "nonsense": nonsense,
    "nothing": nothing,
    "empty": empty,
    "two answers": two_answers,
    "no answer": no_answer,
    "ended in the middle": ended_in_the_middle,
    "long words": long_words,
    **{f"odd {seed}": odd(seed) for seed in range(5)},
    "long": odd(99, long=True),
}
FAILURES = ("nonsense", "nothing", "ended in the middle", "long words")
"""After which no command can have done what it is for."""


class Hung(BaseException):
    """A command did not end in time."""


def hung(_signal: int, _frame: types.FrameType | None) -> None:
    raise Hung


@pytest.fixture
def liar() -> Iterator[Liar]:
    with listening() as one:
        yield one
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


def wrong_in(name: str, words: list[str], code: object, out: str, err: str) -> list[str]:
    is_raw = words[:3] in [raw[:3] for raw in RAW] and "json" not in words
    own = "\n".join(re.findall("hodei: .*", err)) if is_raw else out + err
    rules = {
        "code": code in (0, 1, 2, 124, 125),
        "a success": code != 0 or name not in FAILURES or words[1:2] == ["logs"],
        "a defect": not re.search("defect of Hodei|Traceback|Exception", err),
        "controls": not CONTROLS.search(own),
        "many lines": err.count("\n") <= (5 if words[1:2] in QUIET else 200),
        "no words": bool(err) or code in (0, 1),
    }
    return [rule for rule, holds in rules.items() if not holds]


@pytest.mark.parametrize("name", LIES)
def test_each_command_ends_in_words_whatever_the_server_says(
    name: str,
    liar: Liar,
    tmp_path: Path,
    submits: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: PTH123, SIM115  closed with the process
    monkeypatch.setenv("HODEI_SERVER", liar.address)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "VALUE").write_text("a value of a secret")
    monkeypatch.setenv("HODEI_API_KEY", api_key.make("admin").text)
    monkeypatch.setattr(client, "CALL_S", 0.5)
    monkeypatch.chdir(tmp_path)
    liar.lie = LIES[name]
    wrong = []
    for words in (
        [call for call in COMMANDS[::5] if call not in ENDLESS] if name in SLOW else COMMANDS
    ):
        liar.asked.clear()
        own = "wait" in words  # it has a limit of its own
        signal.signal(signal.SIGALRM, signal.SIG_DFL if own else hung)
        signal.setitimer(signal.ITIMER_REAL, 0 if own else 10)
        try:
            with pytest.raises(SystemExit) as end:
                program.run(cli, "hodei", args=words, failed=125, tracebacks=False)
        except Hung:
            wrong.append((["hung"], words, ""))
            continue
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        said = capsys.readouterr()
        if not liar.asked:
            wrong.append((["not asked"], words, said.err))
        if bad := wrong_in(name, words, end.value.code, said.out, said.err):
            wrong.append((bad, words, said.err[-500:] + " | " + said.out[:200]))
    assert wrong == []


def without_an_end(method: Any, _context: Any) -> Iterator[bytes]:
    """A job is made, and its log ends before the job has."""
    entry = pb.CreateJobsResponse.Entry(job_id=ID)
    is_created = method.name == pb.CreateJobsResponse.DESCRIPTOR.name
    yield pb.CreateJobsResponse(entries=[entry]).SerializeToString() if is_created else b""


@pytest.mark.parametrize(
    "words", [["job", "run", "--", "true"], ["job", "logs", "-f", "--exit-code", ID]]
)
def test_a_log_that_ends_before_its_job_is_an_error(
    words: list[str],
    liar: Liar,
    submits: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HODEI_SERVER", liar.address)
    liar.lie = without_an_end
    with pytest.raises(SystemExit) as end:
        program.run(cli, "hodei", args=words, failed=125, tracebacks=False)
    assert end.value.code == 125
    assert "and the server has told no end of the job" in capsys.readouterr().err
