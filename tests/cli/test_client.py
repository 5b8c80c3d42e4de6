"""Which server a client uses: what a server says of its health is heard."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import click
import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from hodei.cli.client import Unanswered, addresses, connect
from hodei.local.embedded_postgres import free_port
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Fleet(hodei_pb2_grpc.FleetServiceServicer):
    """Has only a word for who asks."""

    def __init__(self, words: str) -> None:
        self._words = words

    def GetStatus(self, request: pb.GetStatusRequest, context: grpc.ServicerContext) -> pb.Status:
        context.abort(grpc.StatusCode.UNAVAILABLE, self._words)
        raise AssertionError("unreachable")


@contextmanager
def server(status: int | None, words: str = "") -> Iterator[str]:
    with ThreadPoolExecutor(4) as pool:
        running = grpc.server(pool)
        if status is not None:
            servicer = health.HealthServicer()
            servicer.set("", status)
            health_pb2_grpc.add_HealthServicer_to_server(servicer, running)
        hodei_pb2_grpc.add_FleetServiceServicer_to_server(Fleet(words), running)
        port = running.add_insecure_port("127.0.0.1:0")
        running.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            running.stop(None).wait()


def test_a_server_that_does_not_serve_is_passed_over_while_another_serves() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with (
        server(NOT_SERVING) as first,
        server(SERVING) as second,
        connect(f"{nobody},{first},{second}") as client,
    ):
        assert client.address == second


def test_where_none_serves_the_first_that_answers_has_the_word() -> None:
    with (
        server(NOT_SERVING, "the database is read-only") as first,
        server(NOT_SERVING, "something else") as second,
        pytest.raises(click.ClickException, match="the database is read-only"),
        connect(f"{first},{second}") as client,
    ):
        assert client.address == first
        client.call(client.fleet.GetStatus, pb.GetStatusRequest())


def test_a_server_that_does_not_tell_its_health_is_used() -> None:
    with server(None) as only, connect(only) as client:
        assert client.address == only


def test_words_of_a_server_are_shown_escaped() -> None:
    with (
        server(SERVING, "a\x1b[31m\nb") as only,
        pytest.raises(click.ClickException) as caught,
        connect(only) as client,
    ):
        client.call(client.fleet.GetStatus, pb.GetStatusRequest())
    assert caught.value.message == r"a\x1b[31m\nb"


def test_nobody_there() -> None:
    with pytest.raises(Unanswered, match="no server answers"), connect(f"127.0.0.1:{free_port()}"):
        pass


@pytest.mark.parametrize(
    "text", ["", "host", ":1", "host:", "host:²", "host:0", "host:65536", "host:x"]
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(click.UsageError, match="expected HOST:PORT"):
        addresses(text)
