"""Every command and every SQL block of docs/runbook.md is run, on a system with a finished, a
running and a waiting job."""

import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import TREE
from tests.guide.conftest import SHIMS
from tests.running import Hodei

BLOCKS = re.findall(
    r"^```(bash|sql)\n(.*?)^```", (TREE / "docs/runbook.md").read_text(), re.DOTALL | re.MULTILINE
)
SILENT = ("JobStatusChanged');", "accepted_at IS NULL);")


def test_the_blocks_are_found() -> None:
    assert len(BLOCKS) > 15


@pytest.fixture(scope="module")
def jobs(shared: Hodei) -> dict[str, str]:
    finished = shared.submit("--command", "echo done")
    shared.finish(finished)
    running = shared.submit("--command", "echo up; sleep 300")
    shared.wrote(running, "up\n")
    return {
        "finished": finished,
        "running": running,
        "waiting": shared.submit("--label", "never=there", "--command", "true"),
    }


@pytest.fixture
def env(shared: Hodei, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    import os
    import sys

    url = urlsplit(shared.url)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "hodei").write_text(f'#!/bin/sh\nexec {sys.executable} -m hodei.cli.main "$@"\n')
    (programs / "hodei").chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{SHIMS}:{os.environ['PATH']}",
        "HODEI_SERVER_ADDRESS": shared.addresses[0],
        "PGHOST": url.hostname or "",
        "PGPORT": str(url.port),
        "PGUSER": url.username or "",
        "PGPASSWORD": unquote(url.password or ""),
        "PGDATABASE": url.path[1:],
        "LC_ALL": "C.UTF-8",
    }


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_runs(
    shared: Hodei, jobs: dict[str, str], env: dict[str, str], number: int
) -> None:
    kind, text = BLOCKS[number]
    for name in ("waiting", "finished", "running"):
        if kind == "sql":
            results = ask(shared, text.replace("$JOB_ID", jobs[name]))
            if any(sign in text for sign in SILENT):
                assert results == [[], []]
        elif is_for(name, text):
            ran = subprocess.run(
                ["bash", "-euc", text],
                env=env | {"JOB_ID": jobs[name]},
                capture_output=True,
                text=True,
                cwd=TREE,
                check=False,
            )
            assert ran.returncode == 0, ran.stderr


def is_for(name: str, text: str) -> bool:
    """Whether a block is about such a job: one that has ended cannot be cancelled, and one that
    waits has no attempt."""
    if "job cancel" in text:
        return name == "running"
    return "--attempt" not in text or name != "waiting"


def ask(shared: Hodei, text: str) -> list[list[Any]]:
    return [shared.sql(statement) for statement in text.split(";") if statement.strip()]
