"""What lies in deploy/ is what the programs take."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TREE

UNITS = sorted((TREE / "deploy/systemd").glob("*.service"))


def unit(path: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(path.read_text())
    return parsed


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_program_of_ours_with_flags_that_it_has(path: Path) -> None:
    program, *flags = unit(path)["Service"]["ExecStart"].split()
    module = {"hodei-server": "hodei.cli.server", "hodei-worker": "hodei_worker"}[Path(program).name]
    usage = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(flag in usage for flag in flags if flag.startswith("--"))


def test_stopping_the_worker_stops_only_the_agent() -> None:
    service = unit(TREE / "deploy/systemd/hodei-worker.service")["Service"]
    assert service["KillMode"] == "process"
    assert "--on-worker-exit keep" in service["ExecStart"]
    assert float(service["TimeoutStopSec"]) > 30, "longer than --drain-timeout"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_finds_nothing_to_say(path: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    copy = tmp_path / path.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(), flags=re.MULTILINE))
    ran = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
