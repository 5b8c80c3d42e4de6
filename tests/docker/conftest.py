"""The engine that the tests of container jobs share, and a server of each test's own."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.docker import hodei_image, tiny_image
from tests.docker.engines import an_engine, socket
from tests.docker.providing import reached_at
from tests.running import Hodei, start


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


@pytest.fixture(scope="session")
def host(docker_socket: str, image: str) -> str:
    """An address of this machine that containers reach."""
    if not (found := reached_at(docker_socket, image)):
        pytest.skip("containers of this engine reach no address of this machine")
    return found


@pytest.fixture
def hodei(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Hodei]:
    """A server, and no worker."""
    running = start(pg_server, tmp_path, servers=1)
    yield running
    running.stack.stop()
    running.conn.close()
