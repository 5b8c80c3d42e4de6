"""One job's pipes: read as they fill, gathered into chunks of up to 64 KiB or 100 ms, cut off (not stopped) at the log limit."""

import asyncio
import os
from collections.abc import Callable

from hodei_worker.supervisor.spool import CHUNK_BYTES, Spool

AGE_S = 0.1
"""A byte waits no longer than this for others; counted from the first one, so that steady chatter cannot defer it."""

STDOUT, STDERR, NOTICE = 1, 2, 3


class Output:
    """Both pipes of a job. `wrote` is called when the spool has something new; `disk_full` when it can take nothing more."""

    def __init__(self, spool: Spool, limit: int, wrote: Callable[[], None], disk_full: Callable[[], None]) -> None:
        self._spool = spool
        self._limit = limit  # bytes of both streams together; 0: none
        self._wrote = wrote
        self._disk_full = disk_full
        self._loop = asyncio.get_running_loop()
        self._fds: dict[int, int] = {}  # stream → our end of its pipe
        self._gathered = {STDOUT: bytearray(), STDERR: bytearray()}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self.paused = False
        self.heard_at = self._loop.time()  # when the job last wrote, or came to be
        self.kept_bytes = 0
        self.dropped_bytes = 0
        self.ended = asyncio.Event()  # both pipes are at their end

    def open(self) -> dict[int, int]:
        """The job's ends of two new pipes, to be closed by the caller after the spawn."""
        theirs: dict[int, int] = {}
        for stream in (STDOUT, STDERR):
            ours, theirs[stream] = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(ours, False)
            self._fds[stream] = ours
            self._loop.add_reader(ours, self._read, stream)
        return theirs

    def _read(self, stream: int) -> None:
        """At most 1 MiB at a time: other jobs want to be read too."""
        for _ in range(16):
            try:
                data = os.read(self._fds[stream], CHUNK_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._close(stream)
                return
            self.heard_at = self._loop.time()
            self._take(stream, data)
            if self._spool.full:
                self._pause()
                return
            if len(data) < CHUNK_BYTES // 16:
                return

    def _take(self, stream: int, data: bytes) -> None:
        if self._limit and self.kept_bytes + len(data) > self._limit:
            keep = max(0, self._limit - self.kept_bytes)
            if not self.dropped_bytes:
                self._gather(stream, data[:keep])
                self.flush()
                self._store(NOTICE, f"log limit of {self._limit} bytes reached: what follows is not kept\n".encode())
            self.kept_bytes += keep
            self.dropped_bytes += len(data) - keep
            return
        self.kept_bytes += len(data)
        self._gather(stream, data)

    def _gather(self, stream: int, data: bytes) -> None:
        gathered = self._gathered[stream]
        if not gathered and data:
            self._timers[stream] = self._loop.call_later(AGE_S, self._flush, stream)
        gathered += data
        if len(gathered) >= CHUNK_BYTES:
            self._flush(stream)

    def _flush(self, stream: int) -> None:
        if timer := self._timers.pop(stream, None):
            timer.cancel()
        gathered = self._gathered[stream]
        while gathered:
            self._store(stream, bytes(gathered[:CHUNK_BYTES]))
            del gathered[:CHUNK_BYTES]

    def flush(self) -> None:
        self._flush(STDOUT)
        self._flush(STDERR)

    def _store(self, stream: int, data: bytes) -> None:
        try:
            self._spool.append(stream, data)
        except OSError:
            if stream != NOTICE:
                self.kept_bytes -= len(data)
            self.dropped_bytes += len(data)
            self._disk_full()
            return
        self._wrote()

    def _pause(self) -> None:
        self.paused = True
        for fd in self._fds.values():
            self._loop.remove_reader(fd)

    def resume(self) -> None:
        """After acknowledgements: read on if the spool has room."""
        if self.paused and not self._spool.full:
            self.paused = False
            for stream, fd in self._fds.items():
                self._loop.add_reader(fd, self._read, stream)

    def _close(self, stream: int) -> None:
        fd = self._fds.pop(stream)
        self._loop.remove_reader(fd)
        os.close(fd)
        if not self._fds:
            self.ended.set()

    def close(self) -> None:
        """What was read is stored; a pipe that some survivor still holds is let go."""
        for stream in list(self._fds):
            self._close(stream)
        self.flush()
