"""A worker that lies: real registration, a real stream, and whatever frames a test gives it."""

import hashlib
import queue
import secrets
import threading
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import grpc

from hodei.protocol import api_key, hodei_pb2_grpc
from hodei.protocol import hodei_pb2 as pb


class HostileWorker:
    """Connects on entry; `status` is how its stream ended. Jobs that require no label may come to
    it. `key`: the API key with which it registers."""

    def __init__(self, address: str, token: str, *, key: str = "", **hello: Any) -> None:
        self.id = str(uuid.uuid4())
        self.secret = secrets.token_bytes(32)
        self._channel = grpc.insecure_channel(address)
        self._stub = hodei_pb2_grpc.WorkerServiceStub(self._channel)
        self._frames: queue.Queue[pb.WorkerFrame | None] = queue.Queue()
        self._hello: dict[str, Any] = {
            "slots": 1,
            "labels": {"evil": "yes"},
            "instance": str(uuid.uuid4()),
        } | hello
        self.frames: list[pb.ServerFrame] = []
        self.ended = threading.Event()
        self.status: grpc.StatusCode | None = None
        self.words = ""
        request = pb.RegisterRequest(
            token=token,
            worker_id=self.id,
            secret_sha256=hashlib.sha256(self.secret).digest(),
            name="evil",
        )
        self._stub.Register(request, metadata=api_key.metadata(key), timeout=10)

    def __enter__(self) -> "HostileWorker":
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._frames.put(None)
        self._channel.close()

    def connect(self, *, silent: bool = False, **hello: Any) -> None:
        """A stream of its own; `silent`: without a hello. What was to be sent on the one before is
        dropped."""
        self._frames.put(None)  # to the thread that gRPC reads the one before with
        self._frames, self.ended = queue.Queue(), threading.Event()
        metadata = (("authorization", f"Bearer {self.id}:{self.secret.hex()}"),)
        self.call = self._stub.Connect(iter(self._frames.get, None), metadata=metadata)
        threading.Thread(target=self._read, args=(self.call, self.ended), daemon=True).start()
        if not silent:
            said: dict[str, Any] = (
                {"protocol_min": 1, "protocol_max": 1, "name": "evil"} | self._hello | hello
            )
            self.send(hello=pb.Hello(**said))

    def _read(self, call: Iterator[pb.ServerFrame] | Any, ended: threading.Event) -> None:
        status, words = grpc.StatusCode.OK, ""
        try:
            for frame in call:
                self.frames.append(frame)
        except grpc.RpcError as error:
            status, words = error.code(), error.details() or ""
        if call is self.call:  # the one before may end later
            self.status, self.words = status, words
        ended.set()

    def send(self, **parts: Any) -> None:
        self._frames.put(pb.WorkerFrame(**parts))

    @property
    def offers(self) -> list[pb.RunJob]:
        """All that have come."""
        return [run for frame in self.frames for run in frame.run]

    def ends(self, within_s: float = 20.0) -> grpc.StatusCode | None:
        """How the server ended the stream; None: it did not."""
        return self.status if self.ended.wait(within_s) else None
