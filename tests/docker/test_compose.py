"""compose.yaml on a real engine: up, jobs as processes and in containers, the guide's scripts, clean,
up again, down."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hodei.local.embedded_postgres import free_port
from tests.conftest import TREE
from tests.docker import postgres_image, tiny_image
from tests.docker.engines import socket
from tests.docker.test_container import why_not
from tests.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SCRIPTS_REMOVE = "hodei-worker"
"""clean-system.sh removes each container whose line in `docker ps` has this word."""


@dataclass(frozen=True)
class Composed:
    """The project; its commands run with `env` and end with exit code 0."""

    env: dict[str, str]

    def run(self, *command: str, code: int = 0) -> str:
        ran = subprocess.run(
            command,
            cwd=TREE,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout.strip()

    def compose(self, *arguments: str) -> str:
        return self.run("docker", "compose", *arguments)

    def up(self) -> None:
        """With the key and the CA brought to this host."""
        self.compose("up", "--detach", "--no-build")
        for variable, path in (
            ("HODEI_API_KEY_FILE", "admin/key"),
            ("HODEI_TLS_CA", "ca/ca.pem"),
        ):
            file = Path(self.env[variable])
            file.touch(0o600)
            file.write_text(self.kept(path))

    def kept(self, path: str) -> str:
        """A file that the first `up` has made."""
        read = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "cat", "cli")
        return self.compose(*read, f"/run/hodei/{path}")

    def hodei(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "hodei.cli.main", *arguments)

    def process_job(self, command: str) -> str:
        return self.hodei("job", "run", "--command", command)

    def container_flags(self) -> tuple[str, ...]:
        return ("--image", tiny_image.NAME, "--network", "none")

    def containers(self) -> dict[str, str]:
        """Their lines in `docker ps`, by name."""
        shown = self.run("docker", "ps", "--no-trunc", "--format", "{{json .}}")
        lines = [json.loads(line) for line in shown.splitlines()]
        return {line["Names"]: f"{line['Image']} {line['Command']}" for line in lines}


@pytest.fixture(scope="module")
def composed(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """Ports and names of its own; nothing of it is left."""
    if reason := no_compose() or why_not():
        pytest.skip(reason)
    postgres_image.build()
    ports = [str(free_port()) for _ in range(3)]
    folder = tmp_path_factory.mktemp("compose")
    env = {key: value for key, value in os.environ.items() if not key.startswith("HODEI_")} | {
        "DOCKER_SOCKET": socket(),
        "COMPOSE_PROJECT_NAME": "hodei-test-compose",
        "HODEI_IMAGE": image,
        "POSTGRES_IMAGE": postgres_image.NAME,
        "POSTGRES_PORT": ports[0],
        "HODEI_PORT_1": ports[1],
        "HODEI_PORT_2": ports[2],
        "HODEI_SERVER_ADDRESS": ",".join(f"https://localhost:{port}" for port in ports[1:]),
        "HODEI_API_KEY_FILE": str(folder / "key"),
        "HODEI_TLS_CA": str(folder / "ca.pem"),
        "HODEI_RUN_DIR": str(tmp_path_factory.mktemp("run")),  # clean-system.sh ends what it names
    }
    project = Composed(env)
    try:
        project.up()
        yield project
    finally:
        project.compose("down", "--volumes", "--timeout", "5")


def no_compose() -> str:
    """Why the project cannot be tested here; empty if it can. clean-system.sh removes containers
    of others too, so that there must be none that it would take."""
    command = ["docker", "compose", "version"]
    if subprocess.run(command, capture_output=True, check=False, timeout=30).returncode != 0:
        return "no `docker compose` (version 2) on this machine"
    shown = subprocess.run(["docker", "ps", "-a"], capture_output=True, check=True, timeout=30)
    if SCRIPTS_REMOVE.encode() in shown.stdout:
        return f"there is a container with {SCRIPTS_REMOVE} that is not ours"
    return ""


def test_two_servers_a_worker_and_both_kinds_of_jobs(composed: Composed) -> None:
    assert servers_of(composed) == 2
    assert composed.process_job("id -un") == "hodei"
    said = composed.hodei("job", "run", *composed.container_flags(), "--command", "echo boxed")
    assert said == "boxed"
    log = composed.compose("logs", "worker")
    assert log.count("how full the Docker Engine's disk is cannot be seen here (/") == 1
    until_healthy(composed, "hodei-worker")


def test_a_process_job_reaches_neither_the_engine_nor_the_token(composed: Composed) -> None:
    tries = "test -w /var/run/docker.sock && echo socket; cat /run/hodei/token/token 2>/dev/null; echo end"
    assert composed.process_job(tries) == "end"


def test_servers_serve_tls_and_ask_for_a_key(composed: Composed) -> None:
    assert composed.compose("run", "--rm", "-T", "cli", "apikey", "list", "--format", "json")
    plain = composed.env["HODEI_SERVER_ADDRESS"].replace("https://", "http://")
    bare = {k: v for k, v in composed.env.items() if k not in ("HODEI_API_KEY_FILE",)}
    for changed, reason in (
        (bare, "API key"),
        (bare | {"HODEI_SERVER_ADDRESS": plain, "HODEI_TLS_CA": ""}, "it expects TLS"),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "hodei.cli.main", "status"],
            env=changed,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode != 0
        assert reason in ran.stderr, ran.stderr


def test_a_job_is_given_a_secret_also_in_a_container(composed: Composed) -> None:
    file = Path(composed.env["HODEI_API_KEY_FILE"]).with_name("secret")
    file.write_text("correct-horse")
    composed.hodei("secret", "set", "word", "--file", str(file))
    show = ("--secret", "WORD=word", "--command", "echo $WORD ${#WORD}")
    for flags in ((), composed.container_flags()):
        assert composed.hodei("job", "run", *flags, *show) == "*** 13"


def test_a_second_up_keeps_the_key_and_the_ca(composed: Composed) -> None:
    files = [Path(composed.env[name]) for name in ("HODEI_API_KEY_FILE", "HODEI_TLS_CA")]
    before = [file.read_text() for file in files]
    composed.up()
    assert [file.read_text() for file in files] == before
    assert composed.process_job("echo again") == "again"


def test_no_job_reaches_a_key(composed: Composed) -> None:
    assert sorted(composed.process_job("find /run/hodei -type f").split()) == [
        "/run/hodei/ca/ca.pem",
        "/run/hodei/token/token",
    ]


def test_the_engine_shows_no_token(composed: Composed) -> None:
    command = ("docker", "exec", "--user", "0", "hodei-worker", "cat", "/run/hodei/token/token")
    token = composed.run(*command)
    assert len(token) >= 32
    names = [*composed.containers(), "hodei-test-compose-token-1"]
    said = composed.run("docker", "inspect", *names) + composed.compose("logs")
    assert token not in said


def test_jobs_go_on_when_one_server_stops(composed: Composed) -> None:
    for server in ("server-1", "server-2"):
        composed.compose("stop", "--timeout", "10", server)
        assert composed.process_job(f"echo without {server}") == f"without {server}"
        composed.compose("start", server)
        eventually(lambda: servers_of(composed) == 2, 60)


def test_only_the_worker_has_the_word_that_the_clean_script_removes(composed: Composed) -> None:
    found = {name for name, line in composed.containers().items() if SCRIPTS_REMOVE in name + line}
    assert found == {"hodei-worker"}


def test_the_guides_scripts_and_a_clean(composed: Composed) -> None:
    job = composed.hodei(
        *("job", "submit", *composed.container_flags(), "--command", "sleep 600"),
    )
    eventually(lambda: job_containers(composed))
    status = composed.run("scripts/system-status.sh")
    assert "READY |     1" in status
    assert "Estado: RUNNING | Intentos: 1" in composed.run("scripts/debug-job.sh", job)
    assert "✅ Job existe" in composed.run("scripts/check-job-health.sh", job)
    assert "JobCreated" in composed.run("scripts/debug-job-timeline.sh", job)

    assert "✅ Sistema limpiado" in composed.run("scripts/clean-system.sh")
    left = composed.containers().keys()
    assert "hodei-worker" not in left
    assert {f"hodei-test-compose-server-{n}-1" for n in (1, 2)} | {"hodei-jobs-postgres"} <= left

    composed.up()
    assert composed.process_job("echo after the clean") == "after the clean"
    eventually(lambda: not job_containers(composed))


def servers_of(composed: Composed) -> int:
    return int(json.loads(composed.hodei("status", "--format", "json"))["servers"])


def until_healthy(composed: Composed, name: str) -> None:
    command = ("docker", "inspect", "--format", "{{.State.Health.Status}}", name)
    eventually(lambda: composed.run(*command) == "healthy", 120)


def job_containers(composed: Composed) -> list[str]:
    """Of this project's worker."""
    identity = composed.run(
        *("docker", "exec", "--user", "0", "hodei-worker"),
        *("cat", "/var/lib/hodei/worker/identity.json"),
    )
    label = f"label=hodei.worker={json.loads(identity)['worker_id']}"
    return composed.run("docker", "ps", "-aq", "--filter", label).split()
