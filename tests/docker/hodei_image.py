"""The image of this tree, built by its Dockerfile on a base of this machine's own Python."""

import subprocess

from tests.conftest import TREE
from tests.docker import python_image

NAME = "hodei-test/hodei:local"


def build() -> None:
    """The build asks a package index for what setup.cfg names, over the host's own network."""
    python_image.build()
    built = subprocess.run(
        [
            *("docker", "build", "--network", "host", "--tag", NAME),
            *("--build-arg", f"BASE_IMAGE={python_image.NAME}", str(TREE)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
