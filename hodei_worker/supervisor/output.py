"""One job's pipes: read as they fill, gathered into chunks of up to 64 KiB or 100 ms, and where they are over the
log limit its first and its last part. The job goes on, whatever becomes of its log.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable

from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.spool import CHUNK_BYTES, Chunk, Tape
from hodei_worker.supervisor.tail import Tail, share

AGE_S = 0.1
"""A byte waits no longer than this for others; counted from the first one, so that steady chatter cannot defer it."""

WIDE_BYTES = 1 << 20
"""Of a pipe, and of one read, once its job has filled one of 64 KiB: fewer turns for those who write much."""

ORDER_S = 0.005
"""What one stream has gathered for longer comes before what the other one writes now."""

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
        self._head = limit - share(limit)  # of them before anything is left out
        self._tail: Tail | None = None  # once there is more
        self._wrote = wrote
        self._disk_full = disk_full
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._fds: dict[int, int] = {}  # stream → our end of its pipe
        self._read_bytes = {STDOUT: CHUNK_BYTES, STDERR: CHUNK_BYTES}
        self._gathered: dict[int, bytearray] = {}
        self._since: dict[int, float] = {}  # when the first byte of what is gathered came
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self.paused = False
        self.heard_at = self._loop.time()  # when the job last wrote, or came to be
        self.kept_bytes = 0
        self.dropped_bytes = 0  # over the limit, or unkept
        self.unkept_bytes = 0  # because the disk took nothing more

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
        self._flush_older(stream)
        if self._limit and (self._tail or self.kept_bytes + len(data) > self._head):
            if self._tail is None:
                data = self._take_head(stream, data)
                self._tail = Tail(self._tape.folder, share(self._limit))
            try:
                self._tail.add(stream, data)
            except OSError:
                self._not_kept(len(data))
            return
        self.kept_bytes += len(data)
        self._gather(stream, data)

    def _take_head(self, stream: int, data: bytes) -> bytes:
        """Up to the end of a line, if one ends in what there is room for; returns the rest."""
        room = self._head - self.kept_bytes
        cut = data.rfind(b"\n", 0, room) + 1 or room
        self.kept_bytes += cut
        self._gather(stream, data[:cut])
        self.flush()
        return data[cut:]

    def _add_tail(self) -> None:
        """When the job has ended: what was left out is known then, and told between the two parts."""
        tail, self._tail = self._tail, None
        if tail is None:
            return
        pieces = tail.take(self._limit - self.kept_bytes)
        left_out = tail.bytes - sum(len(data) for _, data in pieces)
        if left_out:
            self._store(NOTICE, f"[{left_out} bytes left out]\n".encode())
            self.dropped_bytes += left_out
        for stream in (STDOUT, STDERR):
            kept = [data for of, data in pieces if of == stream]
            lines = sum(data.count(b"\n") for data in kept)
            skipped = tail.added[stream] - sum(map(len, kept))
            self._tape.skip(stream, skipped, tail.lines[stream] - lines)
        for stream, data in pieces:
            self._flush(STDOUT + STDERR - stream)
            self.kept_bytes += len(data)
            self._gather(stream, data)

    def _flush_older(self, stream: int) -> None:
        """So that lines of the two streams come in the order in which they were written."""
        other = STDOUT + STDERR - stream
        if other in self._gathered and self._loop.time() - self._since[other] > ORDER_S:
            if stream in self._gathered and self._since[stream] < self._since[other]:
                self._flush(stream)
            self._flush(other)

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
            if stream not in self._gathered:
                self._since[stream] = self._loop.time()
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
                self._not_kept(len(data))
            return
        self._wrote(chunk)

    def _not_kept(self, count: int) -> None:
        self.dropped_bytes += count
        self.unkept_bytes += count
        self._disk_full()

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
        self._add_tail()
        self.flush()
