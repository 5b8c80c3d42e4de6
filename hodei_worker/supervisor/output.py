"""One job's pipes: read as they fill, gathered into chunks of up to 64 KiB or 100 ms, cut off (not stopped) at the log limit."""

import asyncio
import fcntl
import os
from collections.abc import Callable

from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.spool import CHUNK_BYTES, Chunk, Tape

AGE_S = 0.1
"""A byte waits no longer than this for others; counted from the first one, so that steady chatter cannot defer it."""

WIDE_BYTES = 1 << 20
"""Of a pipe, and of one read, once its job has filled one of 64 KiB: fewer turns for those who write much."""

STDOUT, STDERR, NOTICE = 1, 2, 3


class Output:
    """Both pipes of a job. `wrote` is called with each chunk of the tape, `disk_full` when it takes nothing more, `ended` when both pipes
    are at their end."""

    def __init__(
        self,
        poller: Poller,
        tape: Tape,
        limit: int,
        guard: Guard,
        wrote: Callable[[Chunk], None],
        disk_full: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self._poller = poller
        self._tape = tape
        self._guard = guard
        self._limit = limit  # bytes of both streams together; 0: none
        self._wrote = wrote
        self._disk_full = disk_full
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._fds: dict[int, int] = {}  # stream → our end of its pipe
        self._read_bytes = {STDOUT: CHUNK_BYTES, STDERR: CHUNK_BYTES}
        self._gathered: dict[int, bytearray] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self.paused = False
        self.heard_at = self._loop.time()  # when the job last wrote, or came to be
        self.kept_bytes = 0
        self.dropped_bytes = 0

    @property
    def open(self) -> bool:
        return bool(self._fds)

    def pipes(self) -> dict[int, int]:
        """The job's ends of two new pipes, to be closed by the caller after the spawn."""
        theirs: dict[int, int] = {}
        for stream in (STDOUT, STDERR):
            self._fds[stream], theirs[stream] = os.pipe2(os.O_CLOEXEC)
            self._poller.watch(self._fds[stream], self._guard.over(self._read, stream))
        return theirs

    def _read(self, stream: int) -> None:
        """Once a turn of the loop: other jobs want to be read too. It can be read, so this does not wait."""
        wanted = self._read_bytes[stream]
        data = os.read(self._fds[stream], wanted)
        if not data:
            self._close(stream)
            return
        self.heard_at = self._loop.time()
        if len(data) == CHUNK_BYTES == wanted:
            self._widen(stream)
        self._take(stream, data)
        if self._tape.full:
            self._pause()

    def _widen(self, stream: int) -> None:
        try:
            fcntl.fcntl(self._fds[stream], fcntl.F_SETPIPE_SZ, WIDE_BYTES)
        except OSError:
            return  # beyond this user's share
        self._read_bytes[stream] = WIDE_BYTES

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
        """Whole chunks are stored at once, the rest waits for more."""
        gathered = self._gathered.get(stream)
        if gathered:
            gathered += data
            if len(gathered) < CHUNK_BYTES:
                return
            data = bytes(gathered)
            gathered.clear()
        whole = len(data) - len(data) % CHUNK_BYTES
        for start in range(0, whole, CHUNK_BYTES):
            self._store(stream, data[start : start + CHUNK_BYTES])
        if whole < len(data):
            self._gathered.setdefault(stream, bytearray()).extend(data[whole:] if whole else data)
            if stream not in self._timers:
                later = self._loop.call_later
                self._timers[stream] = later(AGE_S, self._guard, self._flush, stream)

    def _flush(self, stream: int) -> None:
        if timer := self._timers.pop(stream, None):
            timer.cancel()
        if gathered := self._gathered.pop(stream, None):
            self._store(stream, bytes(gathered))

    def flush(self) -> None:
        for stream in tuple(self._gathered):
            self._flush(stream)

    def _store(self, stream: int, data: bytes) -> None:
        try:
            chunk = self._tape.append(stream, data)
        except OSError:
            if stream != NOTICE:
                self.kept_bytes -= len(data)
            self.dropped_bytes += len(data)
            self._disk_full()
            return
        self._wrote(chunk)

    def _pause(self) -> None:
        self.paused = True
        for fd in self._fds.values():
            self._poller.unwatch(fd)

    def resume(self) -> None:
        """After acknowledgements: read on if the tape has room."""
        if self.paused and not self._tape.full:
            self.paused = False
            for stream, fd in self._fds.items():
                self._poller.watch(fd, self._guard.over(self._read, stream))

    def _close(self, stream: int) -> None:
        self._poller.close(self._fds.pop(stream))
        if not self._fds:
            self._ended()

    def close(self) -> None:
        """What was read is stored; a pipe that some survivor still holds is let go."""
        for fd in self._fds.values():
            self._poller.close(fd)
        self._fds.clear()
        self.flush()
