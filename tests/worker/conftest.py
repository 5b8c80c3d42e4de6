"""Launchers of both kinds."""

from pathlib import Path

import pytest

from hodei_worker.supervisor import spawn
from tests.worker.talking import SUPERVISOR, needs_fast_path, without_fast_path


@pytest.fixture(params=[pytest.param("fast path", marks=needs_fast_path), "in Python"])
def supervisor(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of launchers that have their fast path, or do without it. What starts launchers in
    this process starts them from there."""
    if request.param == "fast path":
        return SUPERVISOR
    folder = without_fast_path(tmp_path / "in-python")
    *python, program = spawn.PROGRAM
    monkeypatch.setattr(spawn, "PROGRAM", [*python, str(folder / Path(program).name)])
    return folder
