"""The executor of containers passes the suite that all executors pass."""

import asyncio
from pathlib import Path

import pytest

from tests.worker.executor_cases import CASES, run


@pytest.mark.parametrize("case", CASES)
def test_containers(
    case: str, tmp_path: Path, docker_socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{docker_socket}")
    asyncio.run(run("containers", case, tmp_path))
