"""The way to a server: the first of the addresses that serves, with who calls in the metadata.

gRPC errors become one line of words, and a Failure of a kind.
"""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

import click

from hodei.cli.errors import Failure
from hodei.domain.text import shown

if TYPE_CHECKING:
    import grpc

CONNECT_S = 5.0
"""Seconds within which one of the addresses must answer."""

CALL_S = 60.0
"""Seconds within which a call must be answered."""


class Unanswered(Failure):
    """None of the addresses has a server: nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "no_server")


class Client:
    """Stubs of one server. `jobs`, `fleet` and `health` are made on first use."""

    def __init__(self, channel: "grpc.Channel", address: str) -> None:
        from hodei.protocol import hodei_pb2_grpc

        self.address = address
        self.jobs = hodei_pb2_grpc.JobServiceStub(channel)
        self.fleet = hodei_pb2_grpc.FleetServiceStub(channel)
        self.access = hodei_pb2_grpc.AccessServiceStub(channel)
        self.metadata = (("hodei-actor", f"cli:{caller()}"), *_key_for(address))

    def call(self, method: Callable[..., Any], request: Any) -> Any:
        return method(request, metadata=self.metadata, timeout=CALL_S)

    def stream(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        stream: Iterator[Any] = method(request, metadata=self.metadata)
        return stream


def _key_for(address: str) -> tuple[tuple[str, str], ...]:
    """What calls to a server say of the API key. Failure: it is none, or must not be sent there."""
    from hodei.protocol import api_key

    try:
        if key := api_key.from_environment(os.environ):
            api_key.check_way(address, os.environ, encrypted=False)
    except api_key.BadKey as error:
        raise Failure(str(error), "unauthenticated") from None
    return api_key.metadata(key)


def caller() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        name = str(os.getuid())
    return "".join(c if c.isascii() and c.isprintable() and c != " " else "?" for c in name)


def addresses(text: str) -> list[str]:
    found = [
        part.strip().removeprefix("http://").rstrip("/") for part in text.split(",") if part.strip()
    ]
    for address in found or [""]:
        host, _, port = address.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise click.UsageError(f"--server: expected HOST:PORT[,HOST:PORT…], got {text!r}")
    return found


@contextmanager
def connect(servers: str, *, within_s: float | None = None) -> Iterator[Client]:
    """A client of the first server that answers, within CONNECT_S if nothing else is said. Failure:
    what went wrong, in one line."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc

    channel, address = _first_that_answers(addresses(servers), within_s or CONNECT_S)
    try:
        with channel:
            yield Client(channel, address)
    except grpc.RpcError as error:
        raise Failure(words(error), kind(error)) from error


class Health(Enum):
    """A server's health, as it says it itself."""

    SERVING = "it takes work, or is of a kind that does not say"
    NOT_SERVING = "it drains, or is without its database"
    SILENT = "nobody answers there"


CHANNEL_OPTIONS = [("grpc.max_receive_message_length", 8 << 20), ("grpc.keepalive_time_ms", 20_000)]


def _first_that_answers(candidates: list[str], within_s: float) -> tuple["grpc.Channel", str]:
    """The channel to the first server that serves, and its address. Where none serves, the first
    that answers is taken: it has the words for why. Unanswered: none answers."""
    import grpc

    passed_over: tuple[grpc.Channel, str] | None = None
    for address in candidates:
        channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        health = _health(channel, within_s / len(candidates))
        if health is Health.SERVING:
            if passed_over:
                passed_over[0].close()
            return channel, address
        if health is Health.NOT_SERVING and passed_over is None:
            passed_over = channel, address
        else:
            channel.close()
    if passed_over:
        return passed_over
    raise Unanswered(
        f"no server answers at {shown(', '.join(candidates))}: start one with `hodei-server`, or everything with `hodei dev`"
    )


NOT_SERVING = b"\x08\x02"
"""grpc.health.v1.HealthCheckResponse on the wire, of which nothing more is needed here."""


def _health(channel: "grpc.Channel", within_s: float) -> Health:
    """Asks a server for its health, which costs a round trip: grpc's own way to wait for a channel
    has a thread that delays the program's end by 0.2 s."""
    import grpc

    check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
    try:
        answer = check(b"", timeout=within_s, wait_for_ready=True)
    except grpc.RpcError as error:
        silent = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
        return Health.SILENT if error.code() in silent else Health.SERVING
    return Health.NOT_SERVING if answer == NOT_SERVING else Health.SERVING


def words(error: "grpc.RpcError") -> str:
    """The words of an error on one line, whatever a server, or a proxy before it, wrote there."""
    code, details = error.code(), error.details() or ""
    if kind(error) == "unsupported":
        return (
            "the server does not know this call: it is of an older release than this command line"
        )
    return shown(details) if details else f"the server answered {code.name}"


KINDS = {
    "INVALID_ARGUMENT": "invalid",
    "NOT_FOUND": "not_found",
    "FAILED_PRECONDITION": "conflict",
    "ALREADY_EXISTS": "duplicate",
    "ABORTED": "aborted",
    "UNAUTHENTICATED": "unauthenticated",
    "PERMISSION_DENIED": "forbidden",
    "UNAVAILABLE": "unavailable",
    "DEADLINE_EXCEEDED": "unavailable",
    "RESOURCE_EXHAUSTED": "exhausted",
    "UNIMPLEMENTED": "unsupported",
    "INTERNAL": "internal",
}
"""Kinds of error (hodei/shapes/error.py) by gRPC's status; "failed" for any other."""


def kind(error: "grpc.RpcError") -> str:
    return KINDS.get(error.code().name, "failed")


def is_transient(error: "grpc.RpcError") -> bool:
    """Returns whether the same question may be answered a moment later, or by another server."""
    import grpc

    return error.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNKNOWN,
    )


def is_refusal(error: "grpc.RpcError") -> bool:
    """Returns whether the server refused the call, so that nothing was done."""
    import grpc

    return error.code() in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
