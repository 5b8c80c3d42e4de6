"""What the parts of a worker's stream share: its gRPC context, and how it ends."""

import grpc.aio

from hodei.protocol import hodei_pb2 as pb

PROTOCOL = 1
"""The one version of the contract that this server speaks."""

Context = grpc.aio.ServicerContext[pb.WorkerFrame, pb.ServerFrame]


class StreamEnded(Exception):
    """The stream is over, without a fault of this server."""


async def send(context: Context, frame: pb.ServerFrame) -> None:
    """Writes a frame. StreamEnded: the worker left while it was on its way."""
    try:
        await context.write(frame)
    except (grpc.aio.InternalError, grpc.aio.UsageError) as error:  # gRPC's words for that
        raise StreamEnded("closed by the worker") from error
