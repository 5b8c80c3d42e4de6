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
    module = {"hodei-server": "hodei.cli.server", "hodei-worker": "hodei_worker"}[
        Path(program).name
    ]
    usage = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
    ).stdout
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
    copy.write_text(
        re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(), flags=re.MULTILINE)
    )
    ran = subprocess.run(
        ["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_worker_is_root_and_its_jobs_are_a_user_that_ships() -> None:
    service = unit(TREE / "deploy/systemd/hodei-worker.service")["Service"]
    assert "User" not in service
    assert "Delegate" not in service, "a restart with live jobs would fail: 219/CGROUP"
    user = re.search(r"HODEI_JOB_USER=(\S+)", service["Environment"])
    assert user
    lines = (TREE / "deploy/systemd/hodei.sysusers.conf").read_text().splitlines()
    assert [line.split()[:2] for line in lines if not line.startswith("#")] == [["u", user[1]]]
    assert int(service["StateDirectoryMode"], 8) & 0o077 == 0o011


def test_systemd_makes_that_user(tmp_path: Path) -> None:
    program = shutil.which("systemd-sysusers")
    if not program:
        pytest.skip("no systemd-sysusers on this machine")
    conf = TREE / "deploy/systemd/hodei.sysusers.conf"
    (tmp_path / "etc").mkdir()
    ran = subprocess.run(
        [program, f"--root={tmp_path}", conf], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "hodei-job:" in (tmp_path / "etc/passwd").read_text()
