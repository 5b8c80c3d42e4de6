"""What the containers of deploy/kubernetes run, with the settings that they have there: the schema, a
server, and a worker that registers itself. The kubelet's part is played by the test."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from hodei.local import own_python
from hodei.local.embedded_postgres import free_port
from tests.conftest import TREE
from tests.eventually import eventually
from tests.running import new_database

MODULES = {
    "hodei-server": "hodei.cli.server",
    "hodei-worker": "hodei_worker",
    "hodei": "hodei.cli.main",
}


@dataclass
class Cluster:
    """Plays the kubelet: mounts are folders below `folder`, and names are those of this machine."""

    folder: Path
    port: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def here(self, value: str) -> str:
        if value.startswith(("/etc/", "/var/")):
            return f"{self.folder}{value}"
        value = value.replace("hodei-servers:50051", f"localhost:{self.port}")
        return value.replace("0.0.0.0:50051", f"127.0.0.1:{self.port}")

    def mount(self, path: str, content: str) -> None:
        place = Path(self.here(path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        place.chmod(0o600)

    def start(self, manifest: str, name: str) -> subprocess.Popen[bytes]:
        """Starts the one container of a manifest's pod."""
        documents = yaml.safe_load_all((TREE / "deploy/kubernetes" / manifest).read_text())
        (pod,) = (
            one["spec"]["template"]["spec"]
            for one in documents
            if one["kind"] in ("Deployment", "Job")
        )
        (container,) = pod["containers"]
        program, *arguments = container["command"]
        variables = {one["name"]: self.here(one.get("value", name)) for one in container["env"]}
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [*own_python.command(MODULES[program]), *arguments],
            env=self.environment() | variables,
            stdout=log,
            stderr=log,
        )
        self.running.append(process)
        return process

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HODEI_")}
        state = {"HODEI_STATE_DIR": str(self.folder / "state")}  # as the image has it
        return kept | own_python.environment() | {"PYTHONPATH": str(TREE)} | state

    def hodei(self, *arguments: str, **variables: str) -> str:
        ran = subprocess.run(
            [*own_python.command("hodei.cli.main"), *arguments],
            env=self.environment() | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, free_port())
    yield made
    for process in reversed(made.running):
        process.terminate()
        process.wait(60)


def test_a_worker_registers_itself_and_runs_jobs(
    cluster: Cluster, pg_server: SimpleNamespace
) -> None:
    url = new_database(pg_server)
    for path in ("/etc/hodei/owner/url", "/etc/hodei/database/url"):
        cluster.mount(path, url)
    cluster.mount("/etc/hodei/secrets/key", "ab" * 32)
    cluster.hodei("tls", "init", str(cluster.folder / "tls"), "--host", "hodei-servers")
    for path, file in (
        ("/etc/hodei/tls/tls.crt", "server.pem"),
        ("/etc/hodei/tls/tls.key", "server-key.pem"),
        ("/etc/hodei/tls/ca.crt", "ca.pem"),
        ("/etc/hodei/ca/ca.crt", "ca.pem"),
    ):
        cluster.mount(path, (cluster.folder / "tls" / file).read_text())

    assert cluster.start("schema.yaml", "schema").wait(60) == 0
    by_database = ("--database-url-file", str(cluster.folder / "etc/hodei/owner/url"))
    admin = cluster.hodei("apikey", "create", "--role", "admin", "--name", "ana", *by_database)
    caller: dict[str, Any] = {
        "HODEI_SERVER_ADDRESS": f"https://localhost:{cluster.port}",
        "HODEI_TLS_CA": str(cluster.folder / "tls/ca.pem"),
        "HODEI_API_KEY": admin,
    }
    cluster.start("servers.yaml", "server")
    log = cluster.folder / "server.log"
    eventually(lambda: "is ready" in log.read_text(), 60)
    create = ("apikey", "create", "--role", "registrar", "--name", "pods")
    cluster.mount("/etc/hodei/registrar/key", cluster.hodei(*create, **caller))
    cluster.start("workers.yaml", "worker-pod")
    said = cluster.hodei("job", "run", "--command", "echo from a pod", **caller)
    assert said == "from a pod"
    assert "worker-pod" in cluster.hodei("worker", "list", **caller)
