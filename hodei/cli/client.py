"""The way to a server: the first of the addresses that serves, with who calls in the metadata.

gRPC errors become one line of words, and a Failure of a kind.
"""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from hodei.cli import unreadable
from hodei.cli.connection import of_this_call
from hodei.cli.errors import Failure
from hodei.cli.first_server import Unanswered, first_that_answers
from hodei.domain.text import shown
from hodei.shapes.error import ErrorKind
from hodei.tls.address import Address, BadAddress, parse_all
from hodei.tls.bad import BadTls
from hodei.tls.caller import close_interrupted, interrupt_of
from hodei.tls.grpc_words import without_grpc

__all__ = ["Client", "Unanswered", "connect"]

if TYPE_CHECKING:
    import grpc

CONNECT_S = 5.0
"""Seconds within which one of the addresses must answer."""

CALL_S = 60.0
"""Seconds within which a call must be answered."""


class Client:
    """Stubs of one server, and what each call says of who makes it."""

    def __init__(self, channel: "grpc.Channel", address: Address, key: str | None = None) -> None:
        from hodei.protocol import hodei_pb2_grpc

        self.address = str(address)
        self.jobs = hodei_pb2_grpc.JobServiceStub(channel)
        self.fleet = hodei_pb2_grpc.FleetServiceStub(channel)
        self.access = hodei_pb2_grpc.AccessServiceStub(channel)
        self.projects = hodei_pb2_grpc.ProjectServiceStub(channel)
        self.secrets = hodei_pb2_grpc.SecretServiceStub(channel)
        self.providers = hodei_pb2_grpc.ProviderServiceStub(channel)
        self.metadata = (("hodei-actor", f"cli:{caller()}"), *_key_for(address, key))

    def call(self, method: Callable[..., Any], request: Any) -> Any:
        """The answer to a call. Failure: the call has ended without one."""
        answer = method(request, metadata=self.metadata, timeout=CALL_S)
        unreadable.answered(self.address)
        if answer is None:
            raise Failure(
                f"{shown(self.address)} ended the call without an answer", ErrorKind.INTERNAL
            )
        return answer

    def stream(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        for answer in method(request, metadata=self.metadata):
            unreadable.answered(self.address)
            yield answer


def _key_for(address: Address, key: str | None) -> tuple[tuple[str, str], ...]:
    """What calls to a server say of the API key: the one that is given, or the environment's, or
    that of the context. Failure: it is none, or must not be sent there."""
    from hodei.protocol import api_key

    try:
        key = key or api_key.from_environment(os.environ)
        if key is None and (chosen := of_this_call().context):
            key = api_key.checked(chosen.api_key, "the key of the context")
        if key:
            api_key.check_way(address.target, os.environ, private=address.is_private)
    except api_key.BadKey as error:
        raise Failure(str(error), ErrorKind.UNAUTHENTICATED) from None
    return api_key.metadata(key)


def caller() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        name = str(os.getuid())
    return "".join(c if c.isascii() and c.isprintable() and c != " " else "?" for c in name)


def addresses(text: str, *, tls: bool = False) -> tuple[Address, ...]:
    try:
        return parse_all(text, tls=tls)
    except BadAddress as error:
        raise click.UsageError(f"--server: {error}") from None


@contextmanager
def connect(
    servers: str, *, within_s: float | None = None, key: str | None = None
) -> Iterator[Client]:
    """A client of the first server that answers, within CONNECT_S if nothing else is said; with this
    API key, or the one that is set. Failure: what went wrong, in one line. KeyboardInterrupt: also
    where gRPC's steps have made an error about a lock of it."""
    import grpc

    way = of_this_call()
    candidates = addresses(servers, tls=way.every_tls)
    try:
        way.tls.check(candidates)
        channel, address = first_that_answers(candidates, way.tls, within_s or CONNECT_S)
        with _open(channel):
            yield Client(channel, address, key)
    except BadTls as error:
        raise click.UsageError(str(error)) from None
    except grpc.RpcError as error:
        raise Failure(words(error), kind(error)) from error
    except RuntimeError as error:
        if interrupt := interrupt_of(error):
            raise interrupt from None
        raise


@contextmanager
def _open(channel: "grpc.Channel") -> Iterator[None]:
    """Closes a channel at the end. After an interrupt nobody waits for that."""
    try:
        yield
    except BaseException as error:
        if interrupt_of(error):
            close_interrupted(channel)
        else:
            channel.close()
        raise
    channel.close()


UNPARSABLE = "Exception deserializing response!"
"""gRPC's words for an answer that is no message."""


def words(error: "grpc.RpcError") -> str:
    """The words of an error on one line, whatever a server, or a proxy before it, wrote there."""
    code, details = error.code(), error.details() or ""
    if kind(error) is ErrorKind.UNSUPPORTED:
        return (
            "the server does not know this call: it is of an older release than this command line"
        )
    if details == UNPARSABLE:
        return "the server's answer cannot be read: is it a server of Hodei?"
    return shown(without_grpc(details)) if details else f"the server answered {code.name}"


KINDS = {
    "INVALID_ARGUMENT": ErrorKind.INVALID,
    "NOT_FOUND": ErrorKind.NOT_FOUND,
    "FAILED_PRECONDITION": ErrorKind.CONFLICT,
    "ALREADY_EXISTS": ErrorKind.DUPLICATE,
    "ABORTED": ErrorKind.ABORTED,
    "UNAUTHENTICATED": ErrorKind.UNAUTHENTICATED,
    "PERMISSION_DENIED": ErrorKind.FORBIDDEN,
    "UNAVAILABLE": ErrorKind.UNAVAILABLE,
    "DEADLINE_EXCEEDED": ErrorKind.UNAVAILABLE,
    "RESOURCE_EXHAUSTED": ErrorKind.EXHAUSTED,
    "UNIMPLEMENTED": ErrorKind.UNSUPPORTED,
    "INTERNAL": ErrorKind.INTERNAL,
}
"""Kinds of error (hodei/shapes/error.py) by gRPC's status; ErrorKind.FAILED for any other."""


def kind(error: "grpc.RpcError") -> ErrorKind:
    return KINDS.get(error.code().name, ErrorKind.FAILED)


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
