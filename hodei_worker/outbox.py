"""What is to be said to the server, gathered until the stream can take it: one frame carries all that came meanwhile.

Emptied when a stream ends: whatever still matters is said again from what the worker holds.
"""

import asyncio
from collections import deque

from hodei.protocol import hodei_pb2 as pb

FRAME_LOG_BYTES = 800_000
"""Log bytes of one frame, so that it stays under 1 MiB."""


class Outbox:
    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self.clear()

    def clear(self) -> None:
        self._accepts: list[pb.Accept] = []
        self._rejects: list[pb.Reject] = []
        self._results: deque[tuple[int, pb.Result]] = deque()  # with how many chunks go before it
        self._logs_in = self._logs_out = 0  # chunks given, and gone
        self._log_bytes = 0  # of chunks that wait
        self._stopping: list[pb.Stopping] = []
        self._cancels: list[int] = []
        self._started: list[int] = []
        self._logs: deque[pb.LogChunk] = deque()  # bounded by the jobs' windows of unacknowledged bytes
        self._heartbeat: pb.Heartbeat | None = None
        self._wake.clear()

    @property
    def heavy(self) -> bool:
        """Of logs: they fill a good part of a frame already."""
        return self._log_bytes > FRAME_LOG_BYTES // 4

    @property
    def empty(self) -> bool:
        return not self._wake.is_set()

    def accept(self, message: pb.Accept) -> None:
        self._accepts.append(message)
        self._wake.set()

    def reject(self, message: pb.Reject) -> None:
        self._rejects.append(message)
        self._wake.set()

    def result(self, message: pb.Result) -> None:
        """Goes when every chunk given before it has gone, in the same frame at the earliest: servers store a frame's logs first."""
        self._results.append((self._logs_in, message))
        self._wake.set()

    def stopping(self, message: pb.Stopping) -> None:
        self._stopping.append(message)
        self._wake.set()

    def cancel_received(self, lease: int) -> None:
        self._cancels.append(lease)
        self._wake.set()

    def started(self, lease: int) -> None:
        self._started.append(lease)
        self._wake.set()

    def log(self, message: pb.LogChunk) -> None:
        self._logs.append(message)
        self._logs_in += 1
        self._log_bytes += len(message.data)
        self._wake.set()

    def heartbeat(self, message: pb.Heartbeat) -> None:
        self._heartbeat = message
        self._wake.set()

    async def something(self) -> None:
        await self._wake.wait()

    def frame(self) -> pb.WorkerFrame:
        """As much of what is to be said as a frame holds."""
        frame = pb.WorkerFrame(
            accepts=self._accepts[:1000], rejects=self._rejects[:1000], stopping=self._stopping[:1000],
            cancels_received=self._cancels[:1000], started=self._started[:1000],
        )  # fmt: skip
        if self._heartbeat is not None:
            frame.heartbeat.CopyFrom(self._heartbeat)
        size = 0
        while self._logs and size < FRAME_LOG_BYTES:
            chunk = self._logs.popleft()
            size += len(chunk.data) + 40
            frame.logs.append(chunk)
            self._log_bytes -= len(chunk.data)
            self._logs_out += 1
        while self._results and self._results[0][0] <= self._logs_out and len(frame.results) < 300:
            frame.results.append(self._results.popleft()[1])
        del self._accepts[:1000], self._rejects[:1000], self._stopping[:1000], self._cancels[:1000]
        del self._started[:1000]
        self._heartbeat = None
        if not (self._accepts or self._rejects or self._results or self._stopping or self._cancels or self._started or self._logs):
            self._wake.clear()
        return frame
