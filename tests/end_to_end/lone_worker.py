"""A worker that ends by itself, and its identity."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.running import Hodei

UNIFORM = "Invalid OTP token: Token not found, expired, or already consumed"


def run_worker(
    hodei: Hodei, state: Path, *flags: str, token: str | None = None, timeout: float = 20
) -> subprocess.CompletedProcess[str]:
    """A worker that is expected to end by itself."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HODEI_")}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "hodei_worker",
            "--server",
            hodei.addresses[0],
            "--state-dir",
            str(state),
            *flags,
        ],
        env=environment | ({"HODEI_OTP_TOKEN": token} if token else {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def worker_id(state: Path) -> str:
    return str(json.loads((state / "identity.json").read_text())["worker_id"])
