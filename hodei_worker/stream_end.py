"""How a stream to a server begins and ends."""

from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from loguru import logger

from hodei.protocol import hodei_pb2 as pb

FINAL_CODES = {
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.PERMISSION_DENIED,
}
"""Statuses after which another attempt cannot succeed."""


class StreamOver(Exception):
    """This stream has ended. The worker connects again."""


class SentAway(StreamOver):
    """A server that stops or has too many workers ended the stream, or this worker did so itself.
    It is no error."""


class NewCredential(SentAway):
    """This worker ended the stream to connect to the same server with its new secret."""


UNREADABLE = object()
"""What a read returns for bytes that are no frame. gRPC would write a traceback to the log."""


def _parsed(raw: bytes) -> object:
    try:
        return pb.ServerFrame.FromString(raw)
    except DecodeError:
        return UNREADABLE


def connect(channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> Any:
    """Begins a stream. Its reads return frames, UNREADABLE, or gRPC's word for the end."""
    method = channel.stream_stream(
        "/hodei.v1.WorkerService/Connect",
        request_serializer=pb.WorkerFrame.SerializeToString,
        response_deserializer=_parsed,
    )
    return method(metadata=metadata)


async def raise_status(call: Any, read: object) -> NoReturn:
    """Raises the error with which the call has ended; StreamOver if the server closed it without an
    error, or sent bytes that are no frame. `read`: what was read in place of a frame."""
    if read is UNREADABLE:
        raise StreamOver("the server sent bytes that are no frame")
    code, details = await call.code(), await call.details()
    if code == grpc.StatusCode.OK:
        raise StreamOver("the server closed it")
    raise grpc.aio.AioRpcError(
        code, await call.initial_metadata(), await call.trailing_metadata(), details=details
    )


def log_unacknowledged(*, sent_away: bool) -> None:
    """Says that a stream has ended before all log batches on it were acknowledged."""
    if sent_away:
        logger.info("log batches that were not acknowledged are sent to the next server")
    else:
        logger.warning(
            "Failed to send log batch to server: the stream ended; it is kept and sent again"
        )
