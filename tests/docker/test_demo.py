"""`bin/demo --docker` on a real engine."""

import os
import subprocess

import pytest

from tests.conftest import TREE
from tests.docker import tiny_image

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def test_the_demo_shows_a_job_in_a_container(docker_socket: str) -> None:
    ran = subprocess.run(
        [TREE / "bin/demo", "--docker", "--image", tiny_image.NAME],
        env=os.environ | {"DOCKER_HOST": f"unix://{docker_socket}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    _, _, part = ran.stdout.partition("A job in a container")
    assert "in a root of its own: bin dev" in part, part
    assert "All went as it should" in part


def test_without_an_engine_the_demo_says_so_and_goes_on() -> None:
    ran = subprocess.run(
        [TREE / "bin/demo", "--docker"],
        env=os.environ | {"DOCKER_HOST": "unix:///nowhere/docker.sock"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "the job in a container is left out: there is no /nowhere/docker.sock" in ran.stdout
    assert "All went as it should" in ran.stdout
