"""WorkerService: registration, and the one stream that carries a worker's heartbeats, work, logs
and results.

Failure: when the stream ends, nothing is taken from the worker; it connects to any server and says
what it holds."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc.aio
from loguru import logger

from hodei.access.principal import principal
from hodei.domain.errors import HodeiError, Invalid, Revoked
from hodei.fleet.heartbeats import Heartbeats
from hodei.fleet.registration import Registration
from hodei.fleet.sessions import Sessions
from hodei.fleet.stream import WorkerStream
from hodei.flow.cancel import Canceller
from hodei.flow.log_intake import LogIntake
from hodei.flow.settle import Settler
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.rpc import from_worker, to_worker, worker_writer
from hodei.rpc.errors import status_of
from hodei.rpc.ids import uuid_of
from hodei.rpc.worker_reader import WorkerReader
from hodei.rpc.worker_stream import Context, StreamEnded, send
from hodei.store.worker_bootstrap_tokens import Newcomer

HELLO_WITHIN_S = 10.0
"""Seconds after which a stream without its hello is refused."""


REVOKED = (("hodei-credential", "revoked"),)
"""Tells a worker that waiting is of no use: by its status alone its credential may be unknown."""


class WorkerService(hodei_pb2_grpc.WorkerServiceServicer):
    def __init__(
        self,
        registration: Registration,
        sessions: Sessions,
        heartbeats: Heartbeats,
        settler: Settler,
        canceller: Canceller,
        logs: LogIntake,
        lost_after_s: float,
    ) -> None:
        self._registration = registration
        self._sessions = sessions
        self._heartbeats = heartbeats
        self._settler = settler
        self._canceller = canceller
        self._logs = logs
        self._lost_after_s = lost_after_s

    async def Register(self, request: pb.RegisterRequest, context: Any) -> pb.RegisterResponse:
        worker_id = uuid_of(request.worker_id, "worker_id")
        newcomer = Newcomer(worker_id, request.secret_sha256, request.name, request.version)
        await self._registration.register(request.token, newcomer, principal.get())
        return pb.RegisterResponse(worker_id=str(worker_id))

    async def Connect(self, request_iterator: Any, context: Context) -> None:
        try:
            stream = await self._open(context)
        except StreamEnded:
            return  # it left before it was welcome: there is nobody to tell
        log = logger.bind(component="WorkerMonitor", worker_id=stream.worker_id)
        log.info("worker connected: {} slots, labels {}", stream.slots, stream.labels or "none")
        refusal: HodeiError | None = None
        try:
            await self._serve(stream, context)
        except* StreamEnded as ended:
            log.info("worker's stream ended: {}", ended.exceptions[0])
        except* HodeiError as errors:
            refusal = next(error for error in _leaves(errors) if isinstance(error, HodeiError))
            log.warning("worker's stream is closed: {}", refusal)
        finally:
            self._sessions.leave(stream)
        if refusal:
            await context.abort(*status_of(refusal))

    async def _open(self, context: Context) -> WorkerStream:
        """Answers a worker's hello. StreamEnded: the worker left; HodeiError: it is refused."""
        who = from_worker.credential(context.invocation_metadata() or ())
        said = await _read_hello(context)
        now = asyncio.get_running_loop().time()
        server_id = self._sessions.server_id
        decrypts = self._sessions.can_decrypt
        hello = from_worker.hello(said, who, server_id, now, decrypts=decrypts)
        try:
            opened = await self._sessions.open(hello)
        except Revoked:
            context.set_trailing_metadata(REVOKED)
            raise
        await send(context, to_worker.welcome(opened, server_id, self._lost_after_s))
        self._sessions.join(opened.stream)
        return opened.stream

    async def _serve(self, stream: WorkerStream, context: Context) -> None:
        """Reads and writes until one of both ends the stream."""
        reader = WorkerReader(
            stream,
            context,
            self._sessions,
            self._heartbeats,
            self._settler,
            self._canceller,
            self._logs,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(reader.read())
            group.create_task(reader.commit())
            group.create_task(worker_writer.write(stream, context))
            await worker_writer.beat_until_closed(stream, reader.check_silence)


async def _read_hello(context: Context) -> pb.Hello:
    try:
        async with asyncio.timeout(HELLO_WITHIN_S):
            frame = await context.read()
    except TimeoutError:
        raise Invalid(f"no hello within {HELLO_WITHIN_S:g} s") from None
    except grpc.aio.BaseError:
        raise StreamEnded from None
    if not isinstance(frame, pb.WorkerFrame):
        raise StreamEnded
    if not frame.HasField("hello"):
        raise Invalid("expected a hello as the first frame")
    return frame.hello


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
