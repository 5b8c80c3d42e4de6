"""An environment in which the guide's scripts run: `docker` on PATH is a real engine's or the shim,
psql reaches the test's database."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SHIMS = Path(__file__).parent / "shims"


@pytest.fixture
def shell_env(database_url: str, tmp_path: Path) -> dict[str, str]:
    url = urlsplit(database_url)
    return {
        **{
            key: value
            for key, value in os.environ.items()
            if not key.startswith("HODEI_") or key == "HODEI_VENV"
        },
        "PATH": f"{SHIMS}:{os.environ['PATH']}",
        "PGHOST": url.hostname or "",
        "PGPORT": str(url.port),
        "PGUSER": url.username or "",
        "PGPASSWORD": unquote(url.password or ""),
        "PGDATABASE": url.path[1:],
        "PGTZ": "UTC",
        "SHIM_LOG": str(tmp_path / "docker.log"),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }
