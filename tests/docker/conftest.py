"""The engine that the tests of container jobs share."""

from collections.abc import Iterator

import pytest

from tests.docker import hodei_image, tiny_image
from tests.docker.engines import an_engine, socket


@pytest.fixture(scope="session")
def docker_socket() -> Iterator[str]:
    """The socket of an engine that has the tiny image."""
    with an_engine() as none:
        if none:
            pytest.skip(none)
        tiny_image.build()
        yield socket()


@pytest.fixture(scope="session")
def image(docker_socket: str) -> str:
    """The name of the image of this tree, on that engine."""
    hodei_image.build()
    return hodei_image.NAME
