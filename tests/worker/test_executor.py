"""One suite that all executors pass."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.executor_cases import CASES, OF_PROCESSES, run


@pytest.mark.parametrize("case", [*CASES, *OF_PROCESSES])
def test_processes(case: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.worker.executor_cases",
        "processes",
        case,
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("case", CASES)
def test_a_script(case: str, tmp_path: Path) -> None:
    asyncio.run(run("scripted", case, tmp_path))
