"""The pages for those who run jobs and for those who operate Hodei: each command does there what the
page says. `tools/sessions` (this test with HODEI_RECORD=1) writes the outputs anew."""

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import TREE
from tests.eventually import eventually
from tests.pages.console import WIDTH, differences, recorded, stable
from tests.running import Hodei

PAGES = ("submitting.md", "operating.md")


def environment(hodei: Hodei, folder: Path) -> dict[str, str]:
    """A shell that has the programs, a server's address and a database, and prints no colours."""
    programs = folder / "bin"
    programs.mkdir()
    for name, module in (("hodei", "hodei.cli.main"), ("hodei-worker", "hodei_worker")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    (folder / "database-url").write_text(hodei.url)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HODEI_")}
    return kept | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(TREE),
        "HODEI_SERVER_ADDRESS": ",".join(hodei.addresses),
        "HODEI_DATABASE_URL_FILE": str(folder / "database-url"),
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "COLUMNS": str(WIDTH),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_each_command_prints_what_the_page_says(fresh: Hodei, tmp_path: Path, name: str) -> None:
    for worker, label in (("build-1", "zone=a"), ("build-2", "zone=b")):
        token, state = fresh.token(), tmp_path / worker
        flags = ("--name", worker, "--slots", "2", "--label", label)
        fresh.stack.worker(worker, ",".join(fresh.addresses), state, token, *flags)
    eventually(lambda: fresh.sql("SELECT count(*) FROM workers WHERE connected") == [(2,)])
    (tmp_path / "home").mkdir()
    path = TREE / "docs" / name
    page = path.read_text()
    now = recorded(page, environment(fresh, tmp_path / "home"), tmp_path / "home")
    if os.environ.get("HODEI_RECORD"):
        path.write_text(now)
    for command, said, came in differences(page, now):
        assert came == said, f"{command}: run tools/sessions, and look at what changed"


def test_what_differs_from_run_to_run_is_not_compared() -> None:
    one = "ab12cd34  nightly  RUNNING  14:02:03  1.2 s  cli:ana\n"
    other = "99887766  nightly  RUNNING  03:00:00  12 ms   cli:root\n"
    assert stable(one) == stable(other) != stable(one.replace("RUNNING", "FAILED"))
