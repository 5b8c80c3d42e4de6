"""The image: what is in it, who runs in it, and what its health check says of a server."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import hodei
from tests.eventually import eventually

pytestmark = [pytest.mark.docker, pytest.mark.slow]

MOST_ADDED = 120 << 20
"""Bytes that Hodei and what it needs may add to the base image."""


def docker(*arguments: str, code: int = 0) -> str:
    ran = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout.strip()


def inspected(kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker(kind, "inspect", name))[0]
    return found


@pytest.fixture
def container() -> Iterator[str]:
    name = f"hodei-test-{uuid.uuid4().hex[:8]}"
    yield name
    subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("program", ["hodei", "hodei-server", "hodei-worker"])
def test_each_program_runs_and_says_its_version(image: str, program: str) -> None:
    said = docker("run", "--rm", "--network", "none", image, program, "--version")
    assert said == f"{program}, version {hodei.__version__}"


def test_programs_run_as_a_user_without_rights_who_owns_the_state_folder(image: str) -> None:
    said = docker(
        *("run", "--rm", "--network", "none", image),
        *("sh", "-c", "id; echo kept >/var/lib/hodei/worker/f && cat /var/lib/hodei/worker/f"),
    )
    assert said == "uid=1000(hodei) gid=1000(hodei) groups=1000(hodei)\nkept"
    assert inspected("image", image)["Config"]["Volumes"] == {"/var/lib/hodei": {}}


def test_neither_a_compiler_nor_pip_nor_a_repository_is_in_it(image: str) -> None:
    search = "for name in cc gcc g++ make pip pip3 git; do command -v $name && exit 1; done; ls /"
    said = docker("run", "--rm", "--network", "none", image, "sh", "-c", search).split()
    assert "src" not in said
    docker(*("run", "--rm", "--network", "none", image), *("python", "-c", "import pip"), code=1)


def test_it_adds_little_to_its_base(image: str) -> None:
    layers = docker("history", "--human=false", "--format", "{{.Size}}", image).split()
    base = inspected("image", "hodei-test/python:local")["Size"]
    assert 0 < sum(map(int, layers)) - base < MOST_ADDED


def test_a_server_without_its_database_is_unhealthy_and_says_so(image: str, container: str) -> None:
    docker(
        *("run", "-d", "--name", container, "--network", "none"),
        *("--health-interval", "200ms", "--health-start-period", "1ms", "--health-retries", "1"),
        *("-e", "HODEI_DATABASE_URL=postgres://nobody@127.0.0.1:1/none", image),
    )
    health = eventually(lambda: unhealthy(container))
    assert "no answer" in health[-1]["Output"]


def unhealthy(container: str) -> list[dict[str, Any]]:
    """What its checks said, once it is unhealthy."""
    health = inspected("container", container)["State"]["Health"]
    return health["Log"] if health["Status"] == "unhealthy" else []
