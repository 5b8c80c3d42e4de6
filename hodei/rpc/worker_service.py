"""WorkerService: registration, and the one stream that carries a worker's heartbeats, work, logs
and results.

Frames that arrive while others are being committed are committed together afterwards (natural
batching); when INBOX_FRAMES wait, nothing more is read, so that a slow database holds back exactly
those who feed it. Failure: when the stream ends, nothing is taken from the worker; it connects to
any server and says what it holds."""

import asyncio
import uuid
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import grpc.aio
from loguru import logger

from hodei.domain.errors import (
    Conflict,
    Duplicate,
    HodeiError,
    Invalid,
    Unauthenticated,
    Unavailable,
)
from hodei.domain.text import words_of
from hodei.domain.timing import HEARTBEAT_S
from hodei.fleet import registration
from hodei.fleet.presence import Beat, Cancel, Drain, GoAway, Presence, Pulse, WorkerStream
from hodei.fleet.reach import Address
from hodei.flow.control import JobController
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.logs import LogKeeper
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.rpc import convert, worker_checks
from hodei.rpc.errors import status_of
from hodei.store import late_results, leases, sessions, workers
from hodei.store.database import TROUBLE, Database

PROTOCOL = 1
"""The one version of the contract that this server speaks."""

SILENT_AFTER_S = 2.5 * HEARTBEAT_S
"""A stream on which nothing was heard for so long is dead, whatever TCP says."""

MOST_ADDRESSES = 64
"""Of a worker that are kept for balancing; it is sent to none of the others."""

INBOX_FRAMES = 64
"""Frames of one stream that were read and are not committed yet, each under 1 MiB."""

TOGETHER_BYTES = 8 << 20
"""Of frames committed together."""

Context = grpc.aio.ServicerContext[pb.WorkerFrame, pb.ServerFrame]


class _StreamEnded(Exception):
    """The stream is over, without a fault of this server."""


async def _send(context: Context, frame: pb.ServerFrame) -> None:
    try:
        await context.write(frame)
    except (
        grpc.aio.InternalError,
        grpc.aio.UsageError,
    ) as error:  # gRPC's words for a worker that left while this was on its way
        raise _StreamEnded("closed by the worker") from error


class WorkerService(hodei_pb2_grpc.WorkerServiceServicer):
    def __init__(
        self,
        database: Database,
        presence: Presence,
        dispatcher: JobDispatcher,
        controller: JobController,
        logs: LogKeeper,
        lost_after_s: float,
    ) -> None:
        self._database = database
        self._presence = presence
        self._dispatcher = dispatcher
        self._controller = controller
        self._logs = logs
        self._lost_after_s = lost_after_s
        self._ended: asyncio.Queue[tuple[WorkerStream, bool]] = asyncio.Queue(
            10_000
        )  # full: the end is not written down
        self._closing: str | None = None

    async def run(self) -> None:
        """Writes down that streams have ended: their handlers are being cancelled and must not wait
        for a database."""
        while True:
            stream, stopped = await self._ended.get()
            write = sessions.leave if stopped else sessions.disconnect
            try:
                await self._database.run(
                    lambda conn, write=write, s=stream: write(conn, s.worker_id, s.session)  # type: ignore[misc]
                )
            except TROUBLE as error:
                logger.bind(component="WorkerMonitor", worker_id=stream.worker_id).warning(
                    "{}", words_of(error)
                )

    def send_away(self, why: str) -> None:
        """First phase of a stop: every worker goes to another server; what runs, runs on."""
        self._closing = why
        for number, stream in enumerate(self._presence):
            stream.send(GoAway(0.05 + 0.01 * (number % 100), why))

    async def Register(self, request: pb.RegisterRequest, context: Any) -> pb.RegisterResponse:
        worker_id = convert.uuid_of(request.worker_id, "worker_id")
        await registration.register(
            self._database,
            request.token,
            worker_id,
            request.secret_sha256,
            request.name,
            request.version,
        )
        logger.bind(component="WorkerMonitor", worker_id=worker_id).info(
            "Worker registered successfully"
        )
        return pb.RegisterResponse(worker_id=str(worker_id))

    async def Connect(self, request_iterator: Any, context: Context) -> None:
        try:
            stream = await self._open(context)
        except _StreamEnded:
            return  # it left before its hello: there is nobody to tell
        log = logger.bind(component="WorkerMonitor", worker_id=stream.worker_id)
        log.info("worker connected: {} slots, labels {}", stream.slots, stream.labels or "none")
        refusal: HodeiError | None = None
        try:
            await self._serve(stream, context)
        except* _StreamEnded as ended:
            log.info("worker's stream ended: {}", ended.exceptions[0])
        except* HodeiError as errors:
            refusal = next(error for error in _leaves(errors) if isinstance(error, HodeiError))
            log.warning("worker's stream is closed: {}", refusal)
        finally:
            stream.closed.set()
            self._presence.remove(stream)
            self._write_down_end(stream)
        if refusal:
            await context.abort(*status_of(refusal))

    def _write_down_end(self, stream: WorkerStream) -> None:
        if self._ended.full():  # the database has been away for long: silence will tell
            return
        self._ended.put_nowait((stream, stream.drained_by_worker and not stream.held))

    # ── opening ──

    async def _open(self, context: Context) -> WorkerStream:
        worker_id, secret = credential(context.invocation_metadata() or ())
        try:
            async with asyncio.timeout(10.0):
                frame = await context.read()
        except TimeoutError:
            raise Invalid("no hello within 10 s") from None
        except grpc.aio.BaseError:
            raise _StreamEnded from None
        if not isinstance(frame, pb.WorkerFrame):
            raise _StreamEnded
        if not frame.HasField("hello"):
            raise Invalid("expected a hello as the first frame")
        if self._closing:
            raise Unavailable(self._closing)
        hello = frame.hello
        if not hello.protocol_min <= PROTOCOL <= hello.protocol_max:
            raise Conflict(
                f"the worker speaks protocol {hello.protocol_min} to {hello.protocol_max}, this server {PROTOCOL}: "
                "upgrade the older of the two"
            )
        session = await self._connect(worker_id, secret, hello)
        stream = WorkerStream(
            worker_id,
            session.session,
            hello.slots,
            dict(hello.labels),
            draining=session.draining,
            name=hello.name,
            can_recall="recall" in hello.capabilities,
            addresses=self._addresses(hello),
        )
        await self._resume(stream, hello, context)
        self._presence.add(stream)
        self._dispatcher.wake()
        return stream

    async def _connect(
        self, worker_id: uuid.UUID, secret: bytes, hello: pb.Hello
    ) -> sessions.Session:
        worker_checks.hello(hello)
        running = sum(1 for held in hello.held if held.phase == pb.Held.RUNNING)
        greeting = sessions.Greeting(
            worker_id,
            registration.fingerprint(secret),
            convert.uuid_of(hello.instance, "instance"),
            hello.name,
            hello.version,
            hello.slots,
            min(running, hello.slots),
            dict(hello.labels),
            self._presence.server_id,
            hello.job_user or None,
        )
        session = await self._database.run(
            lambda conn: sessions.connect(conn, greeting, SILENT_AFTER_S)
        )
        if session:
            return session
        if await self._database.run(
            lambda conn: sessions.is_known(conn, worker_id, greeting.credential_sha256)
        ):
            raise Duplicate(
                f"another process with worker id {worker_id} is connected and beating; stop it, or use another --state-dir"
            )
        raise Unauthenticated(
            "worker credential unknown or revoked: register with a new bootstrap token"
        )

    def _addresses(self, hello: pb.Hello) -> list[Address]:
        """Of the first so many. A worker that does not tell them stays where it is."""
        now, me = asyncio.get_running_loop().time(), str(self._presence.server_id)
        return [
            Address(
                me if said.here else said.server_id[:36],
                now - said.failed_s if said.failed_s > 0 else None,
            )
            for said in hello.addresses[:MOST_ADDRESSES]
        ]

    async def _resume(self, stream: WorkerStream, hello: pb.Hello, context: Context) -> None:
        """What the worker holds and the database agrees to goes on; the rest it is told to kill."""
        said = [held.lease for held in hello.held]
        standing = (
            await self._database.run(lambda conn: leases.held_by(conn, stream.worker_id, said))
            if said
            else {}
        )
        welcome = pb.Welcome(
            protocol=PROTOCOL,
            session=stream.session,
            heartbeat_s=HEARTBEAT_S,
            lost_after_s=self._lost_after_s,
            clock_unix_us=convert.now_unix_us(),
            server_id=str(self._presence.server_id),
        )
        for held in hello.held:
            here = standing.get(held.lease)
            welcome.resume.add(
                lease=held.lease,
                holds=here is not None,
                log_seq=here.log_seq if here else 0,
                accepted=bool(here and here.accepted),
            )
            if here and held.phase != pb.Held.ENDED:
                stream.held[held.lease] = here.job_id
            if here and here.cancel_requested:
                stream.send(Cancel(held.lease, "CANCELLED", "cancelled"))
        await _send(context, pb.ServerFrame(welcome=welcome))
        if stream.drained_by_operator:
            stream.send(Drain(on=True))

    # ── the stream ──

    async def _serve(self, stream: WorkerStream, context: Context) -> None:
        heard = Heard()
        inbox: asyncio.Queue[pb.WorkerFrame] = asyncio.Queue(INBOX_FRAMES)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(stream, context, heard, inbox))
            group.create_task(self._commit(stream, inbox))
            group.create_task(self._write(stream, context))
            await self._watch(stream, heard)

    async def _read(
        self,
        stream: WorkerStream,
        context: Context,
        heard: "Heard",
        inbox: asyncio.Queue[pb.WorkerFrame],
    ) -> None:
        while True:
            heard.waiting_since = asyncio.get_running_loop().time()
            frame = await context.read()
            heard.waiting_since = None
            if not isinstance(frame, pb.WorkerFrame):
                raise _StreamEnded("closed by the worker")
            worker_checks.frame(frame)
            if frame.HasField("heartbeat"):
                drained = stream.drained_by_worker
                self._presence.pulse(stream, pulse(stream, frame.heartbeat))
                if drained and not stream.drained_by_worker:
                    self._dispatcher.wake()
            await inbox.put(frame)

    async def _commit(self, stream: WorkerStream, inbox: asyncio.Queue[pb.WorkerFrame]) -> None:
        while True:
            together = await inbox.get()
            size = together.ByteSize()
            while size < TOGETHER_BYTES and worker_checks.has_room(together) and not inbox.empty():
                frame = inbox.get_nowait()
                size += frame.ByteSize()
                together.MergeFrom(frame)
            await self._take(stream, together)

    async def _take(self, stream: WorkerStream, frame: pb.WorkerFrame) -> None:
        """Logs before results: what is said of a lease keeps its order."""
        if logs := [said for said in frame.logs if not said.late_job_id]:
            await self._logs.append(
                stream, [convert.chunk(said, stream.worker_id) for said in logs]
            )
        for late_job_id, late in groupby(
            (said for said in frame.logs if said.late_job_id), key=lambda said: said.late_job_id
        ):
            chunks = [convert.chunk(said, stream.worker_id) for said in late]
            await self._logs.append_late(
                stream, convert.uuid_of(late_job_id, "late_job_id"), chunks
            )
        if frame.cancels_received:
            await self._controller.cancel_delivered(
                stream, list(frame.cancels_received), stopping=False
            )
        if frame.stopping:
            await self._controller.cancel_delivered(
                stream, [said.lease for said in frame.stopping], stopping=True
            )
        if frame.rejects:
            await self._controller.rejected(stream, convert.rejects(frame.rejects))
        if frame.accepts or frame.results:
            results = [
                convert.result(said, stream.worker_id)
                for said in frame.results
                if not said.late_job_id
            ]
            await self._controller.heard(stream, [said.lease for said in frame.accepts], results)
        for said in frame.results:
            if said.late_job_id:
                job_id = convert.uuid_of(said.late_job_id, "late_job_id")
                await self._controller.ended_late(
                    stream, late_results.Late(job_id, convert.result(said, stream.worker_id))
                )
        if frame.started:
            await self._controller.started(stream, list(frame.started))

    @staticmethod
    async def _write(stream: WorkerStream, context: Context) -> None:
        while True:
            for frame in convert.frames(await stream.outgoing()):
                await _send(context, frame)

    @staticmethod
    async def _watch(stream: WorkerStream, heard: "Heard") -> None:
        """Beats towards the worker, and ends a stream that is silent, superseded or revoked."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await stream.closed.wait()
                if stream.at_fault:
                    raise Invalid(stream.why_closed)
                raise _StreamEnded(stream.why_closed)
            except TimeoutError:
                stream.send(Beat())
            if heard.waiting_since and loop.time() - heard.waiting_since > SILENT_AFTER_S:
                raise _StreamEnded(f"silent for {SILENT_AFTER_S:g} s")

    def notice_change(self, worker: workers.Worker) -> None:
        """A worker's row was changed by an operator, through whichever server."""
        stream = self._presence.get(worker.id)
        if stream is None:
            return
        if worker.revoked or worker.session != stream.session:
            stream.close(
                "its credential was revoked"
                if worker.revoked
                else "its session no longer speaks for it"
            )
        elif worker.draining != stream.drained_by_operator:
            stream.drained_by_operator = worker.draining
            stream.send(Drain(on=worker.draining))
            self._dispatcher.wake()


class Heard:
    """Since when the reader waits for a frame; None while one is being committed (the worker is not
    to blame for that)."""

    waiting_since: float | None = None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def pulse(stream: WorkerStream, beat: pb.Heartbeat) -> Pulse:
    """Which job a lease is for is known here; a worker's word is not needed for it."""
    running = (
        stream.held[held.lease]
        for held in beat.held
        if held.phase == pb.Held.RUNNING and held.lease in stream.held
    )
    return Pulse(
        busy_slots=beat.busy_slots,
        draining=beat.draining,
        waiting=[held.lease for held in beat.held if held.phase == pb.Held.WAITING],
        held=[held.lease for held in beat.held],
        live=[held.lease for held in beat.held if held.phase != pb.Held.ENDED],
        current_job_id=next(running, None),
    )


def credential(metadata: Any) -> tuple[uuid.UUID, bytes]:
    """Of `authorization: Bearer <worker_id>:<secret hex>`."""
    scheme, _, value = str(dict(metadata).get("authorization", "")).partition(" ")
    worker_id, _, secret = value.partition(":")
    try:
        if scheme == "Bearer":
            return uuid.UUID(worker_id), bytes.fromhex(secret)
    except ValueError:
        pass
    raise Unauthenticated(
        "no worker credential: expected metadata `authorization: Bearer <worker id>:<secret>`"
    )
