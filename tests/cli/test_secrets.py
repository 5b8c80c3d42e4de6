"""Secrets by file: what is wrong with one is a line, what is given by flag goes first, and no
example has one on a command line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TREE
from tests.running import Hodei
from tests.test_programs import PROGRAMS

CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("HODEI_", "PG")) and name != "DATABASE_URL"
}
SECRET = "postgres://u:hidden-word@127.0.0.1:1/x"
SERVER = ["hodei.cli.server", "--grpc", "127.0.0.1:0"]
DATABASE = [
    ["hodei.cli.main", "db", "check"],
    ["hodei.cli.main", "db", "apply"],
    ["hodei.cli.main", "db", "maintain"],
    SERVER,
]


def run(*argv: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *argv],
        env=CLEAN | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def bad_files(folder: Path) -> dict[str, str]:
    (folder / "empty").write_text("\n \n")
    (folder / "bytes").write_bytes(b"\xff\xfe")
    (folder / "lines").write_text(f"{SECRET}\nmore\n")
    (folder / "large").write_text("x" * 20_000)
    (folder / "mark").write_text(f"\ufeff{SECRET}\n")
    (folder / "nul").write_text(f"{SECRET}\0\n")
    return {
        "missing": "No such file",
        "empty": "got an empty file",
        "bytes": "got other bytes",
        "lines": "got more",
        "large": "got more",
        "mark": "as NUL or a byte order mark",
        "nul": "as NUL or a byte order mark",
        ".": "Is a directory",
    }


def assert_one_line(ran: subprocess.CompletedProcess[str], words: str) -> None:
    assert ran.returncode == 2, ran
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert line.startswith("Error: ")
    assert words in line
    assert "hidden-word" not in line


@pytest.mark.parametrize(
    "program", [*DATABASE, ["hodei.cli.main", "dev"], ["hodei.local.demo"]], ids=" ".join
)
def test_a_bad_file_of_a_database_url_is_one_line(program: list[str], tmp_path: Path) -> None:
    for name, words in bad_files(tmp_path).items():
        assert_one_line(run(*program, "--database-url-file", str(tmp_path / name)), words)


@pytest.mark.parametrize(
    "program", [["hodei_worker"], ["hodei.cli.main", "worker", "run"]], ids=" ".join
)
def test_a_bad_file_of_a_token_is_one_line(program: list[str], tmp_path: Path) -> None:
    for name, words in bad_files(tmp_path).items():
        for flag, env in (
            (["--token-file", str(tmp_path / name)], {}),
            ([], {"HODEI_OTP_TOKEN_FILE": str(tmp_path / name)}),
        ):
            assert_one_line(
                run(*program, "--state-dir", str(tmp_path / "state"), *flag, **env), words
            )


@pytest.mark.parametrize("program", DATABASE, ids=" ".join)
def test_the_environment_names_a_file_too_and_without_any_the_words_say_how(
    program: list[str], tmp_path: Path
) -> None:
    assert_one_line(
        run(*program, HODEI_DATABASE_URL_FILE=str(tmp_path / "missing"), DATABASE_URL=SECRET),
        "No such file",
    )
    missing = run(*program)
    assert missing.returncode == 2
    assert "HODEI_DATABASE_URL_FILE" in missing.stderr
    both = run(*program, "--database-url", SECRET, "--database-url-file", "/x")
    assert "expected it or --database-url-file, got both" in both.stderr


def test_a_flag_goes_before_the_environment(fresh: Hodei, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"{fresh.url}\n")
    check = ["hodei.cli.main", "db", "check"]
    assert (
        run(*check, "--database-url", fresh.url, HODEI_DATABASE_URL_FILE="/missing").returncode == 0
    )
    assert run(*check, "--database-url-file", str(file), DATABASE_URL=SECRET).returncode == 0
    assert run(*check, HODEI_DATABASE_URL_FILE=str(file), DATABASE_URL=SECRET).returncode == 0
    assert run(*check, HODEI_DATABASE_URL=fresh.url).returncode == 0
    assert run(*check, HODEI_DATABASE_URL=f" {fresh.url}\r\n").returncode == 0
    assert "no database: set" in run(*check, DATABASE_URL=" \n").stderr


def test_server_and_worker_start_by_files_and_the_token_may_go(
    fresh: Hodei, tmp_path: Path
) -> None:
    url, token = tmp_path / "url", tmp_path / "token"
    url.write_text(fresh.url)
    token.write_text(f"{fresh.token()}\n")
    part = fresh.stack.start(
        "by-file", [*SERVER[:2], "127.0.0.1:0", "--database-url-file", str(url)]
    )
    fresh.stack.await_words(part, "hodei-server is ready")
    for number in (1, 2):
        argv = [
            "hodei_worker",
            "--server",
            fresh.addresses[0],
            "--state-dir",
            str(tmp_path / "worker"),
            "--token-file",
            str(token),
        ]
        part = fresh.stack.start(f"worker-{number}", argv)
        fresh.stack.await_words(part, "connected to")
        fresh.stack.stop_part(part)
        token.unlink(missing_ok=True)
    assert "no token is needed, because this worker has registered before" in fresh.log("worker-2")
    for log in fresh.stack.logs.iterdir():
        assert "postgresql://" not in log.read_text()


# ── examples ──


def texts() -> list[tuple[str, str]]:
    found = [
        (path.name, path.read_text())
        for path in [
            TREE / "README.md",
            *(TREE / "docs").rglob("*.md"),
            *(TREE / "deploy").rglob("*.*"),
        ]
    ]
    for program in PROGRAMS:
        found.append((" ".join(program), run(*program, "--help").stdout))
    source = [
        path
        for package in ("hodei", "hodei_worker", "scripts", "tools")
        for path in (TREE / package).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    ]
    return found + [(path.name, path.read_text()) for path in source]


def test_no_example_has_a_secret_on_a_command_line() -> None:
    on_a_command_line = re.compile(
        r"--(token|database-url|listen-url)[ =](\$|postgres|<|[0-9a-f]{8}-)"
    )
    wrong = [
        (name, found.group()) for name, text in texts() if (found := on_a_command_line.search(text))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "program", [*DATABASE, ["hodei.cli.main", "dev"], ["hodei_worker"]], ids=" ".join
)
def test_help_says_that_a_secret_on_the_command_line_is_visible(program: list[str]) -> None:
    said = " ".join(run(*program, "--help").stdout.split())
    assert "Visible to all users of this host when given here." in said
    assert re.search(r"--(database-url|token)-file FILE", said)
