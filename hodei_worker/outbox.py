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
        self._results: list[pb.Result] = []
        self._stopping: list[pb.Stopping] = []
        self._cancels: list[int] = []
        self._started: list[int] = []
        self._logs: deque[pb.LogChunk] = deque()  # bounded by the jobs' windows of unacknowledged bytes
        self._heartbeat: pb.Heartbeat | None = None
        self._wake.clear()

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
        self._results.append(message)
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
        self._wake.set()

    def heartbeat(self, message: pb.Heartbeat) -> None:
        self._heartbeat = message
        self._wake.set()

    async def frame(self) -> pb.WorkerFrame:
        """Waits for something to say, then takes as much of it as a frame holds."""
        await self._wake.wait()
        frame = pb.WorkerFrame(
            accepts=self._accepts[:1000], rejects=self._rejects[:1000], results=self._results[:300], stopping=self._stopping[:1000],
            cancels_received=self._cancels[:1000], started=self._started[:1000],
        )  # fmt: skip
        if self._heartbeat is not None:
            frame.heartbeat.CopyFrom(self._heartbeat)
        size = 0
        while self._logs and size < FRAME_LOG_BYTES:
            chunk = self._logs.popleft()
            size += len(chunk.data) + 40
            frame.logs.append(chunk)
        del self._accepts[:1000], self._rejects[:1000], self._results[:300], self._stopping[:1000], self._cancels[:1000]
        del self._started[:1000]
        self._heartbeat = None
        if not (self._accepts or self._rejects or self._results or self._stopping or self._cancels or self._started or self._logs):
            self._wake.clear()
        return frame
