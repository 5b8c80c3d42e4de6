"""Calls that servers of an older release do not have: what such a server lacks is said."""

from collections.abc import Iterator
from contextlib import contextmanager

from hodei.cli.client import Client
from hodei.cli.errors import Failure
from hodei.shapes.error import ErrorKind


@contextmanager
def unless_older(client: Client, lacks: str) -> Iterator[None]:
    """Stands around a call. Failure: the server is of a release without it; `lacks` says what is
    missing, as the end of "of an older release, which …"."""
    import grpc

    try:
        yield
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNIMPLEMENTED:
            raise
        raise older(client, lacks) from None


def older(client: Client, lacks: str) -> Failure:
    """The error of a call to a server of an older release."""
    return Failure(
        f"the server at {client.address} is of an older release, which {lacks}",
        ErrorKind.UNSUPPORTED,
    )
