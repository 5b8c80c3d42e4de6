"""The provider of the kind Docker, on a real engine; and engines that lie."""

import asyncio
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hodei.domain.provider import Settings
from hodei.providers.contract import Order, Provider, ProviderError, Unanswered
from hodei.providers.docker import Docker
from tests.docker.workers import docker
from tests.providers.conformance import Conformance, an_order

pytestmark = [pytest.mark.docker, pytest.mark.slow]


class TestDocker(Conformance):
    @pytest.fixture
    def settings(self, docker_socket: str, image: str) -> Settings:
        return Settings(
            uuid.uuid4(),
            "Docker",
            "docker",
            3,
            socket_path=docker_socket,
            image=image,
            network="none",
        )

    @pytest.fixture
    def provider(self, settings: Settings) -> Iterator[Docker]:
        yield Docker(settings)
        label = f"label=hodei.provider.id={settings.provider_id}"
        host = ("-H", f"unix://{settings.socket_path}")
        if left := docker(*host, "ps", "-aq", "--filter", label).split():
            docker(*host, "rm", "-f", "-v", *left)

    @contextmanager
    def stranger(self, provider: Provider, order: Order) -> Iterator[None]:
        """One with the labels of another database, which no list has."""
        host = ("-H", f"unix://{order.settings.socket_path}")
        label = f"hodei.provider.cluster={uuid.uuid4()}"
        docker(*host, "create", "--name", order.name, "--label", label, order.settings.image)
        try:
            yield
        finally:
            docker(*host, "rm", "-f", order.name)

    def test_a_container_of_ours_that_a_hand_has_made_is_left_alone(
        self, provider: Docker, settings: Settings
    ) -> None:
        order = an_order(settings)
        label = f"hodei.provider.cluster={order.cluster_id}"
        host = ("-H", f"unix://{settings.socket_path}")
        name = f"hodei-worker-by-hand-{uuid.uuid4().hex[:8]}"
        docker(*host, "create", "--name", name, "--label", label, settings.image)
        try:
            assert self.instances(provider, order) == []
        finally:
            docker(*host, "rm", name)


def liar(path: Path, answer: bytes, every_s: float = 0.0) -> socket.socket:
    """A socket that answers each request with these bytes, again and again until nobody reads."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        while True:
            try:
                one, _ = listening.accept()
                one.recv(65_536)
                while True:
                    one.sendall(answer)
                    time.sleep(every_s)
            except OSError:
                if listening.fileno() < 0:
                    return

    threading.Thread(target=serve, daemon=True).start()
    return listening


ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b" " * 65_536
NO_JSON = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]"
NO_HTTP = b"SSH-2.0-OpenSSH_9.2\r\n"


@pytest.mark.parametrize("answer", [ENDLESS, NO_JSON, NO_HTTP], ids=["endless", "list", "ssh"])
def test_what_no_engine_answers_is_said_in_one_line(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "s"
    with liar(path, answer):
        settings = Settings(uuid.uuid4(), "liar", "docker", 3, socket_path=str(path), image="x")
        with pytest.raises(ProviderError) as refused:
            asyncio.run(Docker(settings).contact())
    assert str(path) in str(refused.value)
    assert str(refused.value).isprintable()


def test_no_socket_and_what_is_none_are_said_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, words in (("none", "No such file"), ("file", "it is no socket")):
        path = str(tmp_path / name)
        settings = Settings(uuid.uuid4(), "none", "docker", 3, socket_path=path, image="x")
        with pytest.raises(Unanswered, match=f"no engine answers at {path}: {words}"):
            asyncio.run(Docker(settings).contact())
