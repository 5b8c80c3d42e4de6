"""A real Docker Engine for tests: the one that answers here, or one of our own."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def socket() -> str:
    """The path of the socket of the engine that `docker` speaks to."""
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


def answers() -> bool:
    return (
        subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=30).returncode
        == 0
    )


@contextmanager
def an_engine() -> Iterator[str]:
    """The one that answers, or one of our own where root has dockerd; gives why there is none."""
    if shutil.which("docker") is None:
        yield "no docker program"
    elif answers():
        yield ""
    elif os.geteuid() != 0 or shutil.which("dockerd") is None:
        yield "no Docker engine answers, and none can be started: not root, or no dockerd"
    else:
        with (
            tempfile.TemporaryDirectory(prefix="hodei-docker-") as folder,
            pytest.MonkeyPatch.context() as patch,
        ):
            socket = f"unix://{folder}/docker.sock"
            patch.setenv("DOCKER_HOST", socket)
            places = [
                "--data-root",
                f"{folder}/data",
                "--exec-root",
                f"{folder}/exec",
                "--pidfile",
                f"{folder}/pid",
            ]
            with Path(folder, "log").open("w") as log:
                engine = subprocess.Popen(
                    ["dockerd", "-H", socket, *places],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            try:
                deadline = time.monotonic() + 20
                while not answers() and engine.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.2)
                yield (
                    ""
                    if answers()
                    else f"dockerd does not come up: {Path(folder, 'log').read_text()[-300:]}"
                )
            finally:
                engine.terminate()
                engine.wait(30)
