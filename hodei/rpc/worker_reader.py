"""The half of a worker's stream that reads: frames are checked, gathered and handed on to be
committed.

Frames that come while others are being committed are committed together afterwards. When
INBOX_FRAMES wait, nothing more is read, so that a slow database holds back exactly those workers
that feed it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby

from hodei.access.rests import rest_s
from hodei.domain.errors import Locked, Unavailable
from hodei.fleet.heartbeats import Heartbeats
from hodei.fleet.sessions import SILENT_AFTER_S, Sessions
from hodei.fleet.stream import WorkerStream
from hodei.flow.cancel import Canceller
from hodei.flow.log_intake import LogIntake
from hodei.flow.settle import Settler
from hodei.protocol import hodei_pb2 as pb
from hodei.rpc import from_worker, worker_checks
from hodei.rpc.ids import uuid_of
from hodei.rpc.worker_stream import Context, StreamEnded

INBOX_FRAMES = 64
"""Frames of one stream that were read and are not committed yet, each under 1 MiB."""

AGAIN_S = 0.5
"""Seconds before something is recorded again that the database was not there for."""

TOGETHER_BYTES = 8 << 20
"""Bytes of frames that are committed together."""


class WorkerReader:
    """The reader of one stream; its parts take what the worker says."""

    def __init__(
        self,
        stream: WorkerStream,
        context: Context,
        sessions: Sessions,
        heartbeats: Heartbeats,
        settler: Settler,
        canceller: Canceller,
        logs: LogIntake,
    ) -> None:
        self._stream = stream
        self._context = context
        self._sessions = sessions
        self._heartbeats = heartbeats
        self._settler = settler
        self._canceller = canceller
        self._logs = logs
        self._inbox: asyncio.Queue[pb.WorkerFrame] = asyncio.Queue(INBOX_FRAMES)
        # Since when a frame is waited for; None while one waits for room in the inbox, as the
        # worker is not to blame for that.
        self._waiting_since: float | None = None

    async def read(self) -> None:
        """Reads frames until the stream ends. StreamEnded: the worker closed it."""
        loop = asyncio.get_running_loop()
        while True:
            self._waiting_since = loop.time()
            frame = await self._context.read()
            self._waiting_since = None
            if not isinstance(frame, pb.WorkerFrame):
                raise StreamEnded("closed by the worker")
            begun = time.perf_counter()
            worker_checks.frame(frame)
            if frame.HasField("heartbeat"):
                heartbeat = from_worker.heartbeat(self._stream, frame.heartbeat)
                self._heartbeats.receive(self._stream, heartbeat)
            self._stream.on_report(_reported(frame))
            if pause_s := rest_s(begun):
                await asyncio.sleep(pause_s)
            self._stream.held_back = self._inbox.full()
            await self._inbox.put(frame)
            self._stream.held_back = False

    def check_silence(self) -> None:
        """StreamEnded: nothing was heard for SILENT_AFTER_S."""
        now = asyncio.get_running_loop().time()
        if self._waiting_since and now - self._waiting_since > SILENT_AFTER_S:
            raise StreamEnded(f"silent for {SILENT_AFTER_S:g} s")

    async def commit(self) -> None:
        """Hands on what was read, for ever; frames that wait go together."""
        while True:
            together = await self._inbox.get()
            size = together.ByteSize()
            while (
                size < TOGETHER_BYTES
                and worker_checks.has_room(together)
                and not self._inbox.empty()
            ):
                frame = self._inbox.get_nowait()
                size += frame.ByteSize()
                together.MergeFrom(frame)
            await self._hand_on(together)

    async def _hand_on(self, frame: pb.WorkerFrame) -> None:
        """Logs go before results: so what is said of a lease keeps its order (rule 5)."""
        if frame.logs:
            await self._append(frame.logs)
        if frame.cancels_received:
            told = list(frame.cancels_received)
            await _patiently(
                lambda: self._canceller.record_delivery(self._stream, told, stopping=False)
            )
        if frame.stopping:
            stopping = [said.lease for said in frame.stopping]
            await _patiently(
                lambda: self._canceller.record_delivery(self._stream, stopping, stopping=True)
            )
        if frame.rejects:
            rejects = from_worker.rejects(frame.rejects)
            await _patiently(lambda: self._settler.take_back_rejected(self._stream, rejects))
        if frame.accepts or frame.results:
            await self._settle(frame)
        if frame.started:
            started = list(frame.started)
            await _patiently(lambda: self._settler.record_starts(self._stream, started))
        if frame.leftovers:
            found = [from_worker.leftover(said) for said in frame.leftovers]
            await _patiently(lambda: self._settler.judge_leftovers(self._stream, found))
        if frame.next_credential_sha256:
            await self._sessions.announce_credential(self._stream, frame.next_credential_sha256)

    async def _append(self, logs: Sequence[pb.LogChunk]) -> None:
        worker_id = self._stream.worker_id
        if in_time := [from_worker.chunk(said, worker_id) for said in logs if not said.late_job_id]:
            await self._logs.append(self._stream, in_time)
        for late_job_id, late in groupby(
            (said for said in logs if said.late_job_id), key=lambda said: said.late_job_id
        ):
            job_id = uuid_of(late_job_id, "late_job_id")
            chunks = [from_worker.chunk(said, worker_id) for said in late]
            await self._logs.append_late(self._stream, job_id, chunks)

    async def _settle(self, frame: pb.WorkerFrame) -> None:
        worker_id = self._stream.worker_id
        accepted = [said.lease for said in frame.accepts]
        actor = f"worker:{worker_id}"  # written once for a frame: it takes 1 µs
        results = [
            from_worker.result(said, worker_id, actor)
            for said in frame.results
            if not said.late_job_id
        ]
        await self._settler.settle(self._stream, accepted, results)
        for said in frame.results:
            if said.late_job_id:
                late = from_worker.late_result(said, worker_id)
                await self._settler.record_late_result(self._stream, late)


def _reported(frame: pb.WorkerFrame) -> list[int]:
    """The leases that a frame says were taken by a slot, or have ended."""
    ended = [said.lease for said in frame.results if not said.late_job_id]
    return [said.lease for said in frame.accepts] + ended


async def _patiently(record: Callable[[], Awaitable[None]]) -> None:
    """Records what a worker said; while the database is away again and again, so that its stream
    stands. Repeating is harmless. Whatever else goes wrong is raised, also a locked row."""
    while True:
        try:
            return await record()
        except Locked:
            raise
        except Unavailable:
            await asyncio.sleep(AGAIN_S)
