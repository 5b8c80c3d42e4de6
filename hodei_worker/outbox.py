"""The messages that wait for the stream to the server. One frame carries all that have gathered.

The outbox is emptied when a stream begins; `Slots` then adds again what still matters.
"""

import asyncio
import time
from collections import deque
from typing import NamedTuple

from hodei.protocol import hodei_pb2 as pb

MAX_PER_KIND = 300
"""Messages of one kind in a frame. Results with texts of 2,000 characters then stay under 1 MiB;
the rest goes with the next frame."""

FRAME_LOG_BYTES = 800_000
"""Log bytes in one frame, so that it stays under 1 MiB. The chunk that reaches it is the last."""

HEAVY_BYTES = FRAME_LOG_BYTES // 4
"""Waiting log bytes above which the next frame does not wait for more messages."""

ACCEPT_AFTER_S = 0.05
"""Seconds by which an accept is delayed. A job that ends within them is reported by its result
alone, which saves the server one update of the job's row."""


class _QueuedResult(NamedTuple):
    after_chunks: int  # it is sent once this number of chunks has been sent
    message: pb.Result


class Outbox:
    def __init__(self, accept_after_s: float = ACCEPT_AFTER_S) -> None:
        self._accept_after_s = accept_after_s
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()  # set while the next frame should not wait for more
        self.clear()

    def clear(self) -> None:
        self._accepts: dict[int, float] = {}  # lease → when it is due (monotonic), oldest first
        self._rejects: list[pb.Reject] = []
        self._results: deque[_QueuedResult] = deque()
        self._chunks_added = self._chunks_sent = 0
        self._log_bytes = 0  # of chunks that wait
        self._stopping: list[pb.Stopping] = []
        self._cancels: list[int] = []
        self._started: list[int] = []
        # bounded by the jobs' windows of unacknowledged bytes (supervisor/window.py)
        self._logs: deque[pb.LogChunk] = deque()
        self._heartbeat: pb.Heartbeat | None = None
        self._next_credential_sha256 = b""
        self._leftovers: list[pb.Leftover] = []
        self._hurry.clear()

    @property
    def empty(self) -> bool:
        return not self._accepts and self._due_in_s() is None

    def _due_in_s(self) -> float | None:
        """Seconds until the next message is due; None if there is no message."""
        if (
            self._results
            or self._logs
            or self._heartbeat
            or self._next_credential_sha256
            or self._rejects
            or self._stopping
            or self._cancels
            or self._started
        ):
            return 0.0
        for due_at in self._accepts.values():
            return max(0.0, due_at - time.monotonic())
        return None

    def add_accept(self, lease: int) -> None:
        self._accepts[lease] = time.monotonic() + self._accept_after_s
        if len(self._accepts) == 1:
            self._wake.set()

    def add_reject(self, message: pb.Reject) -> None:
        self._rejects.append(message)
        self._wake.set()

    def add_result(self, message: pb.Result) -> None:
        """It is sent in the frame of the last chunk that was added before it, or in a later one: a
        server stores the logs of a frame before its results."""
        self._results.append(_QueuedResult(self._chunks_added, message))
        self._wake.set()

    def add_stopping(self, message: pb.Stopping) -> None:
        self._stopping.append(message)
        self._wake.set()

    def add_cancel_received(self, lease: int) -> None:
        self._cancels.append(lease)
        self._wake.set()

    def add_started(self, lease: int) -> None:
        self._started.append(lease)
        self._wake.set()

    def add_log(self, message: pb.LogChunk) -> None:
        self._logs.append(message)
        self._chunks_added += 1
        self._log_bytes += len(message.data)
        self._wake.set()
        if self._log_bytes > HEAVY_BYTES:
            self._hurry.set()

    def hurry(self) -> None:
        """Called when this worker has nothing left to run: there is nothing to wait for."""
        self._hurry.set()

    def set_heartbeat(self, message: pb.Heartbeat) -> None:
        """Replaces a heartbeat that was not sent yet."""
        self._heartbeat = message
        self._wake.set()

    def set_next_credential(self, sha256: bytes) -> None:
        self._next_credential_sha256 = sha256
        self._wake.set()

    def set_leftovers(self, messages: list[pb.Leftover]) -> None:
        """They go with the next heartbeat."""
        self._leftovers = messages

    async def wait_until_due(self) -> None:
        """Returns when a message is due. Only accepts have a delay."""
        while (due_in_s := self._due_in_s()) != 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(due_in_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def wait_for_more(self, most_s: float) -> None:
        """Returns after `most_s` seconds, or as soon as more than HEAVY_BYTES of logs wait or the
        worker has nothing left to run."""
        try:
            async with asyncio.timeout(most_s):
                await self._hurry.wait()
        except TimeoutError:
            return

    def take_frame(self) -> pb.WorkerFrame:
        """Removes and returns as many messages as one frame may hold."""
        most = MAX_PER_KIND
        frame = pb.WorkerFrame(
            rejects=self._rejects[:most],
            stopping=self._stopping[:most],
            cancels_received=self._cancels[:most],
            started=self._started[:most],
            next_credential_sha256=self._next_credential_sha256,
        )
        self._next_credential_sha256 = b""
        del self._rejects[:most], self._stopping[:most], self._cancels[:most], self._started[:most]
        if self._heartbeat is not None:
            frame.heartbeat.CopyFrom(self._heartbeat)
            frame.leftovers.extend(self._leftovers)
            self._heartbeat, self._leftovers = None, []
        self._move_logs(frame)
        self._move_results(frame)
        self._move_accepts(frame)
        return frame

    def _move_logs(self, frame: pb.WorkerFrame) -> None:
        size = 0
        while self._logs and size < FRAME_LOG_BYTES:
            chunk = self._logs.popleft()
            size += len(chunk.data) + 40
            self._log_bytes -= len(chunk.data)
            frame.logs.append(chunk)
            self._chunks_sent += 1
        if self._log_bytes <= HEAVY_BYTES:
            self._hurry.clear()

    def _move_results(self, frame: pb.WorkerFrame) -> None:
        """A result makes the accept of its lease unnecessary."""
        results = self._results
        while results and len(frame.results) < MAX_PER_KIND:
            if results[0].after_chunks > self._chunks_sent:
                return
            result = results.popleft().message
            self._accepts.pop(result.lease, None)
            frame.results.append(result)

    def _move_accepts(self, frame: pb.WorkerFrame) -> None:
        """The accept of a job whose start is in this frame is not delayed any longer: servers
        record the start of accepted jobs only."""
        due = [lease for lease in frame.started if lease in self._accepts]
        now = time.monotonic()
        for lease, due_at in self._accepts.items():
            if due_at > now or len(due) >= MAX_PER_KIND:
                break
            due.append(lease)
        for lease in dict.fromkeys(due):
            frame.accepts.add(lease=lease)
            del self._accepts[lease]
