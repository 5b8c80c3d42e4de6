"""Nothing is imported from the folder in which our programs happen to be started."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TREE
from tests.eventually import eventually
from tests.local.test_dev import Dev, environment
from tests.running import Hodei

WORDS = "imported from the current folder"
NAMES = (
    "queue",
    "json",
    "uuid",
    "socket",
    "signal",
    "typing",
    "selectors",
    "click",
    "grpc",
    "ctypes",
)


@pytest.fixture
def odd(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, full of modules that end whoever imports one of them."""
    folder = open_folder / "odd"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"raise SystemExit({WORDS!r})\n")
    monkeypatch.chdir(folder)
    yield folder


def test_the_folder_would_be_imported_from(odd: Path) -> None:
    """What this file tests can fail."""
    ran = subprocess.run(
        [sys.executable, "-m", "hodei_worker", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert WORDS in ran.stderr


def test_dev_starts_all_its_parts_there(odd: Path) -> None:
    dev = Dev(odd / "data", {}, "-P")
    try:
        dev.await_up()
        server = ["--server", f"127.0.0.1:{dev.port}"]
        argv = [sys.executable, "-P", "-m", "hodei.cli.main", *server, "job", "run", "--"]
        ran = subprocess.run(
            [*argv, sys.executable, "-P", "-c", "import json; print(json.dumps(7))"],
            capture_output=True,
            text=True,
            env=environment(),
            check=True,
            timeout=60,
        )
        assert ran.stdout == "7\n"
        for log in (odd / "data").rglob("*.log"):
            assert WORDS not in log.read_text(errors="replace")
    finally:
        dev.process.kill()
        dev.process.wait()
        eventually(lambda: not dev.processes(), most_s=20)


def test_a_worker_that_the_command_line_starts_and_its_supervisor(fresh: Hodei, odd: Path) -> None:
    log = odd / "worker.log"
    argv = [sys.executable, "-P", "-m", "hodei.cli.main", "--server", fresh.addresses[0]]
    argv += ["worker", "run", "--state-dir", str(odd / "w"), "--on-worker-exit", "kill"]
    with log.open("w") as out:
        worker = subprocess.Popen(
            argv,
            env=environment() | {"HODEI_OTP_TOKEN": fresh.token()},
            stdout=out,
            stderr=out,
        )
    try:
        eventually(lambda: "connected to" in log.read_text() or worker.poll() is not None)
        assert "connected to" in log.read_text(), log.read_text()
        fresh.sql("SELECT hodei_enqueue(%s::jsonb)", '{"command": "echo ran"}')
        eventually(lambda: fresh.sql("SELECT state FROM jobs") == [("SUCCEEDED",)])
    finally:
        worker.terminate()
        worker.wait(30)


@pytest.mark.slow
@pytest.mark.long
def test_the_demo_runs_there(odd: Path) -> None:
    argv = [str(TREE / "bin/demo")]
    where = {"HODEI_VENV": os.environ.get("HODEI_VENV") or sys.prefix}
    ran = subprocess.run(
        argv, capture_output=True, text=True, env=environment() | where, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "All went as it should" in ran.stdout
