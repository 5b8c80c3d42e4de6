"""`hodei login`: a server, its CA and a key in a file of the user's own, and which commands use them."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hodei.cli import contexts
from hodei.cli.contexts import Context
from hodei.shapes import local as shapes
from hodei.shapes.fields import fields_of
from tests.running import Hodei, Ran

Run = Callable[..., Ran]


@pytest.fixture
def run(fresh: Hodei, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the program without --server, with a home of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in [name for name in os.environ if name.startswith("HODEI_")]:
        monkeypatch.delenv(name)

    def run(*words: str, stdin: str = "", **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "hodei.cli.main", *words],
            input=stdin.encode(),
            env=os.environ | environment,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    return run


@pytest.fixture
def key(fresh: Hodei) -> str:
    made = ("--role", "admin", "--name", "ana", "--database-url", fresh.url)
    return fresh.ok("apikey", "create", *made).text.strip()


def place(tmp_path: Path) -> Path:
    return tmp_path / "config" / "hodei" / "contexts.json"


def test_a_login_is_kept_for_all_commands_and_flags_go_before_it(
    fresh: Hodei, run: Run, key: str, tmp_path: Path
) -> None:
    one, two = fresh.addresses
    logged = run("login", "--server", one, stdin=f"{key}\n")
    assert logged.code == 0, logged
    assert logged.text.startswith(f"{one} knows this key as api:ana, role admin; context default ")
    file = place(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    shown = run("status")
    assert (shown.code, f"{one} answered" in shown.text) == (0, True), shown
    elsewhere = run("status", "--server", two)
    assert (elsewhere.code, "needs an API key" in elsewhere.err) == (125, True), (
        "a context's key goes to no other server"
    )
    assert run("status", HODEI_SERVER_ADDRESS=two).code == 125
    with_key = run("status", HODEI_SERVER_ADDRESS=two, HODEI_API_KEY=key)
    assert f"{two} answered" in with_key.text
    assert key not in shown.text + logged.text + logged.err + run("context", "list").text


def test_contexts_are_chosen_and_removed(fresh: Hodei, run: Run, key: str, tmp_path: Path) -> None:
    for name, server in zip(("one", "two"), fresh.addresses, strict=True):
        assert run("login", "--name", name, "--server", server, stdin=key).code == 0
    assert f"{fresh.addresses[1]} answered" in run("status").text
    assert f"{fresh.addresses[0]} answered" in run("status", HODEI_CONTEXT="one").text
    assert run("context", "use", "one").code == 0
    assert f"{fresh.addresses[0]} answered" in run("status").text
    as_json = run("context", "list", HODEI_FORMAT="json").json
    assert [(one["name"], one["used"], one["tls_ca"]) for one in as_json] == [
        ("one", True, None),
        ("two", False, None),
    ]
    assert as_json[0].keys() == {field.name for field in fields_of(shapes.Context)}
    assert as_json[0]["key_id"] in key
    listed = [line.split() for line in run("context", "list").text.splitlines()[1:]]
    assert [line[:2] for line in listed] == [["one", "yes"], ["two", fresh.addresses[1]]]
    removed = run("context", "remove", "one", "--format", "json").json
    assert (removed["name"], removed["used"]) == ("one", True)
    assert "one" not in json.loads(place(tmp_path).read_text())["contexts"]
    for words in (("context", "use", "one"), ("context", "remove", "one")):
        ran = run(*words)
        assert (ran.code, "expected one of them (two)" in ran.err) == (125, True)
    assert "HODEI_CONTEXT: expected one of" in run("status", HODEI_CONTEXT="one").err
    for call in ("completion bash", "job --help", "context list"):
        ran = run(*call.split(), HODEI_CONTEXT="one")
        assert (ran.code, bool(ran.out), ran.err) == (0, True, ""), "they ask no server"


def test_a_context_without_what_was_added_later_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    file = place(tmp_path)
    file.parent.mkdir(parents=True)
    one = {"server": "https://s:1", "api_key": "k", "tls_ca": "/ca.pem"}
    file.write_text(json.dumps({"current": "one", "contexts": {"one": one}}))
    file.chmod(0o600)
    assert contexts.read().by_name == {"one": Context("https://s:1", "k", "/ca.pem", "", "", "")}


def test_a_key_that_is_not_valid_is_not_kept(
    fresh: Hodei, run: Run, key: str, tmp_path: Path
) -> None:
    said = {"": "got nothing", "x": "got 1 characters", key[:-1] + "_": "mistyped"}
    for text, words in said.items():
        ran = run("login", "--server", fresh.addresses[0], stdin=text)
        assert (ran.code, words in ran.err, ran.err.count("\n")) == (125, True, 1), ran
    assert not place(tmp_path).exists()


def test_a_wrong_name_is_wrong_usage(fresh: Hodei, run: Run, key: str, tmp_path: Path) -> None:
    ran = run("login", "--name", "a b", "--server", fresh.addresses[0], stdin=key)
    assert (ran.code, "--name: expected 1 to 63 letters" in ran.err) == (2, True), ran
    assert not place(tmp_path).exists()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("{}", 0o644, "other users may read it"),
        ("{", 0o600, "got something else"),
        ('{"current": 1, "contexts": {}}', 0o600, "got something else"),
        ("[" * 100_000, 0o600, "got something else"),
        ("\0" * (2 << 20), 0o600, "got something else"),
    ],
    ids=["mode", "half", "number", "deep", "large"],
)
def test_a_file_that_is_not_ours_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, mode: int, words: str
) -> None:
    file = place(tmp_path)
    file.parent.mkdir(parents=True)
    file.write_text(content)
    file.chmod(mode)
    ran = subprocess.run(
        [sys.executable, "-m", "hodei.cli.main", "status"],
        env={"XDG_CONFIG_HOME": str(tmp_path / "config"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, words in ran.stderr, ran.stderr.count("\n")) == (125, True, 1), ran
