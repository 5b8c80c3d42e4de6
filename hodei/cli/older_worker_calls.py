"""Calls about workers to servers of an older release: what such a server lacks is said."""

from typing import TYPE_CHECKING, Any

from hodei.cli.client import Client, words
from hodei.cli.errors import Failure
from hodei.shapes.error import ErrorKind

if TYPE_CHECKING:
    import grpc


def asked(client: Client, method: Any, request: Any) -> Any:
    """Calls; ClickException where the server is of a release that cannot do it."""
    import grpc

    try:
        return client.call(method, request)
    except grpc.RpcError as error:
        if too_old := _too_old(error):
            raise Failure(too_old, ErrorKind.UNSUPPORTED) from error
        raise


def _too_old(error: "grpc.RpcError") -> str:
    """What a server before schema revision 5 cannot do, in words; empty: it is no such server."""
    import grpc

    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return "this server is of an older release and cannot show one worker: use `hodei worker list`, or upgrade it"
    if (error.details() or "").startswith("worker_id: expected a UUID"):
        return f"{words(error)}; this server is of an older release and takes whole ids only (`hodei worker list --wide`)"
    return ""
