"""A server that lies to its workers: it takes every credential, and sends what a test gives it."""

import asyncio
import threading
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from hodei.protocol import hodei_pb2 as pb

WELCOME = pb.Welcome(protocol=1, session=1, heartbeat_s=10, lost_after_s=60)


class LyingServer:
    """Each stream gets the next of `lies`: the bytes of frames. Then it is kept until the worker
    ends it, or for `patience_s`. When there are no more lies it is refused, with `refusal`."""

    def __init__(
        self,
        lies: list[list[bytes]],
        patience_s: float = 2.0,
        refusal: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
        trailer: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._lies = lies
        self._patience_s = patience_s
        self._refusal, self._trailer = refusal, trailer
        self.refused = 0
        self.told = 0
        self.credentials: set[str] = set()
        self.announced: list[bytes] = []
        self.asked: list[str] = []  # ids of workers that asked to be registered
        self.taken: list[str] = []
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.address = ""

    def __enter__(self) -> "LyingServer":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    async def _serve(self) -> None:
        server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            self._connect, pb.WorkerFrame.FromString, lambda raw: raw
        )
        register = grpc.unary_unary_rpc_method_handler(
            self._register,
            pb.RegisterRequest.FromString,
            pb.RegisterResponse.SerializeToString,
        )
        methods: dict[str, Any] = {"Connect": handler, "Register": register}
        server.add_registered_method_handlers("hodei.v1.WorkerService", methods)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._ready.set()
        await asyncio.to_thread(self._over.wait)
        await server.stop(None)

    async def _connect(self, requests: Any, context: Any) -> None:
        said = dict(context.invocation_metadata())
        self.credentials.add(str(said["authorization"]))
        await context.read()
        if self.told >= len(self._lies):
            self.refused += 1
            await context.abort(self._refusal, "no more lies", self._trailer)
        lie = self._lies[self.told]
        self.told += 1
        for raw in lie:
            await context.write(raw)
        try:
            async with asyncio.timeout(self._patience_s):
                while isinstance(frame := await context.read(), pb.WorkerFrame):
                    await self._answer(frame, context)
        except TimeoutError:
            return

    async def _register(self, request: pb.RegisterRequest, context: Any) -> pb.RegisterResponse:
        """Takes each worker but those that it has met."""
        self.asked.append(request.worker_id)
        if any(request.worker_id in credential for credential in self.credentials):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "revoked")
        self.taken.append(request.worker_id)
        return pb.RegisterResponse(worker_id=request.worker_id)

    async def _answer(self, frame: pb.WorkerFrame, context: Any) -> None:
        """Says that it has stored any credential that the worker announces."""
        if frame.next_credential_sha256:
            self.announced.append(frame.next_credential_sha256)
            stored = pb.ServerFrame(next_credential_stored=frame.next_credential_sha256)
            await context.write(stored.SerializeToString())


def welcome(**other: Any) -> bytes:
    said = pb.Welcome()
    said.CopyFrom(WELCOME)
    said.MergeFrom(pb.Welcome(**other))
    return pb.ServerFrame(welcome=said).SerializeToString()


def after_welcome(**frame: Any) -> list[bytes]:
    return [welcome(), pb.ServerFrame(**frame).SerializeToString()]
