"""What is to be said to the server, gathered until the stream can take it: one frame carries all
that came meanwhile.

Emptied when a stream begins: whatever still matters is said again from what the worker holds.
"""

import asyncio
import time
from collections import deque

from hodei.protocol import hodei_pb2 as pb

MOST = 300
"""Messages of a kind in one frame: results of 2,000 characters each stay under 1 MiB."""

FRAME_LOG_BYTES = 800_000
"""Log bytes of one frame, so that it stays under 1 MiB."""

HEAVY_BYTES = FRAME_LOG_BYTES // 4


ACCEPT_AFTER_S = 0.05
"""An accept waits so long for its job's result: of a job that has ended by then only the result is
said, and one write records both."""


class Outbox:
    def __init__(self, accept_after_s: float = ACCEPT_AFTER_S) -> None:
        self._accept_after_s = accept_after_s
        self._wake = asyncio.Event()
        self._heavy = asyncio.Event()  # logs fill a good part of a frame already
        self.clear()

    def clear(self) -> None:
        self._accepts: dict[int, float] = {}  # lease → when it goes (monotonic); oldest first
        self._rejects: list[pb.Reject] = []
        self._results: deque[tuple[int, pb.Result]] = deque()  # with how many chunks go before it
        self._logs_in = self._logs_out = 0  # chunks given, and gone
        self._log_bytes = 0  # of chunks that wait
        self._stopping: list[pb.Stopping] = []
        self._cancels: list[int] = []
        self._started: list[int] = []
        self._logs: deque[pb.LogChunk] = (
            deque()
        )  # bounded by the jobs' windows of unacknowledged bytes
        self._heartbeat: pb.Heartbeat | None = None
        self._heavy.clear()

    @property
    def empty(self) -> bool:
        return not self._accepts and self._due_in_s() is None

    def _due_in_s(self) -> float | None:
        """How long what is here may still wait; None when there is nothing."""
        if (
            self._results
            or self._logs
            or self._heartbeat
            or self._rejects
            or self._stopping
            or self._cancels
            or self._started
        ):
            return 0.0
        for due_at in self._accepts.values():
            return max(0.0, due_at - time.monotonic())
        return None

    def accept(self, lease: int) -> None:
        self._accepts[lease] = time.monotonic() + self._accept_after_s
        if len(self._accepts) == 1:
            self._wake.set()

    def reject(self, message: pb.Reject) -> None:
        self._rejects.append(message)
        self._wake.set()

    def result(self, message: pb.Result) -> None:
        """Goes when every chunk given before it has gone, in the same frame at the earliest:
        servers store a frame's logs first."""
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
        if self._log_bytes > HEAVY_BYTES:
            self._heavy.set()

    def heartbeat(self, message: pb.Heartbeat) -> None:
        self._heartbeat = message
        self._wake.set()

    async def something(self) -> None:
        """Until there is something that is not to wait any longer."""
        while (due_in_s := self._due_in_s()) != 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(due_in_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def gather(self, most_s: float) -> None:
        """Lets more come; but logs that are heavy already wait for nothing."""
        try:
            async with asyncio.timeout(most_s):
                await self._heavy.wait()
        except TimeoutError:
            return

    def frame(self) -> pb.WorkerFrame:
        """As much of what is to be said as a frame holds."""
        frame = pb.WorkerFrame(
            rejects=self._rejects[:MOST],
            stopping=self._stopping[:MOST],
            cancels_received=self._cancels[:MOST],
            started=self._started[:MOST],
        )
        del self._rejects[:MOST], self._stopping[:MOST], self._cancels[:MOST], self._started[:MOST]
        if self._heartbeat is not None:
            frame.heartbeat.CopyFrom(self._heartbeat)
            self._heartbeat = None
        size = 0
        while self._logs and size < FRAME_LOG_BYTES:
            chunk = self._logs.popleft()
            size += len(chunk.data) + 40
            self._log_bytes -= len(chunk.data)
            frame.logs.append(chunk)
            self._logs_out += 1
        if self._log_bytes <= HEAVY_BYTES:
            self._heavy.clear()
        while self._results and self._results[0][0] <= self._logs_out and len(frame.results) < MOST:
            result = self._results.popleft()[1]
            self._accepts.pop(result.lease, None)
            frame.results.append(result)
        due = [
            lease for lease in frame.started if lease in self._accepts
        ]  # servers take a start of accepted jobs only
        now = time.monotonic()
        for lease, due_at in self._accepts.items():
            if due_at > now or len(due) >= MOST:
                break
            due.append(lease)
        for lease in dict.fromkeys(due):
            frame.accepts.add(lease=lease)
            del self._accepts[lease]
        return frame
