"""What the tests of whole systems share."""

from pathlib import Path

import pytest


@pytest.fixture
def submits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a submit that broke off is noted."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "hodei" / "submits"
