"""Reads one job's pipes and gathers the output into chunks of up to 64 KiB or 100 ms.

Output of the two streams that was written more than ORDER_S apart keeps its order if the loop reads
in time: two pipes do not tell which was written to first."""

import asyncio
import fcntl
import os
import select
from collections.abc import Callable

from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.kept import Kept
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.spool import CHUNK_BYTES, STDERR, STDOUT, Chunk, Tape

AGE_S = 0.1
"""Seconds that a byte waits for others at most. They count from the first byte, so that steady
output cannot delay it."""

ORDER_S = 0.02
"""Seconds between two chunks of a stream at least, if the job writes to both streams in turn."""

DRAIN_READS = 4
"""Number of reads of each pipe in one turn of the loop, so that other jobs are read too."""

WIDE_BYTES = 1 << 20
"""Bytes of a pipe, and of one read, once a read has filled 64 KiB: a job that writes much needs
fewer turns of the loop."""


class Output:
    """Both pipes of a job. `on_chunk` is called for each chunk on the tape, `on_disk_full` when the
    disk is full, `on_end` when both pipes are at their end."""

    def __init__(
        self,
        poller: Poller,
        tape: Tape,
        limit: int,
        guard: Guard,
        on_chunk: Callable[[Chunk], None],
        on_disk_full: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._poller = poller
        self._tape = tape
        self._guard = guard
        self.kept = Kept(tape, limit, on_chunk, on_disk_full)
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._fds: dict[int, int] = {}  # stream → our end of its pipe
        self._read_bytes = {STDOUT: CHUNK_BYTES, STDERR: CHUNK_BYTES}
        self._gathered: dict[int, bytearray] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._gathered_since: dict[int, float] = {}  # stream → when its first byte was read
        self.paused = False
        # tells which stream was written to first, until the pipes are watched
        self._first_events: select.epoll | None = None
        self._watched = False
        self._last_output_at = self._loop.time()  # when the job last wrote, or was made

    @property
    def open(self) -> bool:
        return bool(self._fds)

    def silence_s(self) -> float:
        """Returns the seconds since the job last wrote; 0 while its pipes are not read (its tape is
        full)."""
        return 0.0 if self.paused else self._loop.time() - self._last_output_at

    def make_pipes(self) -> dict[int, int]:
        """Makes two pipes. Returns the job's ends; the caller closes them after the spawn."""
        theirs: dict[int, int] = {}
        self._first_events = self._poller.take_epoll()
        for stream in (STDOUT, STDERR):
            self._fds[stream], theirs[stream] = os.pipe2(os.O_CLOEXEC)
            self._first_events.register(self._fds[stream], select.EPOLLIN)
        return theirs

    def watch(self) -> None:
        """Begins to read. It is called when the job is known to run: the output of one that has
        ended by then is read by `drain`."""
        if self._watched or not self._first_events:
            return
        self._watched = True
        if not self.paused:
            for stream in self._written_to():
                self._watch(stream)
        self._first_events.close()
        self._first_events = None

    def _written_to(self) -> list[int]:
        """Returns the open streams; the one that was written to first comes first."""
        ready = [fd for fd, _ in self._first_events.poll(0)] if self._first_events else []
        first = [stream for fd in ready for stream, ours in self._fds.items() if ours == fd]
        return first + [stream for stream in self._fds if stream not in first]

    def drain(self) -> None:
        """Reads the output of a job that has ended before it was watched, nearly always to its end.
        (A watched pipe is read by the poller alone: a second reader could block.)"""
        reads = 0 if self._watched else DRAIN_READS
        while reads and self._first_events and self._fds and not self.paused:
            ready = self._first_events.poll(0)
            streams = {fd: stream for stream, fd in self._fds.items()}
            for fd, event in ready:
                if event & select.EPOLLIN:
                    self._read(streams[fd])
                else:
                    self._close(streams[fd])  # at its end, as it is for most jobs
            reads = reads - 1 if ready else 0

    def _watch(self, stream: int) -> None:
        handler = self._guard.wrap(self._read, stream)
        self._poller.watch(self._fds[stream], handler, in_order=True)

    def _read(self, stream: int) -> None:
        """Reads once. It does not block, because the pipe is readable; the rest follows in the next
        turn of the loop, so that other jobs are read too."""
        wanted = self._read_bytes[stream]
        data = os.read(self._fds[stream], wanted)
        if not data:
            self._close(stream)
            return
        self._last_output_at = self._loop.time()
        if len(data) == CHUNK_BYTES == wanted:
            self._widen(stream)
        self._gather(stream, data)
        if self._tape.full:
            self._pause()
        elif len(data) == wanted and self._watched:
            self._poller.rearm(self._fds[stream])

    def _widen(self, stream: int) -> None:
        try:
            fcntl.fcntl(self._fds[stream], fcntl.F_SETPIPE_SZ, WIDE_BYTES)
        except OSError:
            return  # this user may have no more pipe memory
        self._read_bytes[stream] = WIDE_BYTES

    def _gather(self, stream: int, data: bytes) -> None:
        """Stores whole chunks at once; the rest waits for more."""
        self._keep_order(stream)
        gathered = self._gathered.get(stream)
        if gathered:
            gathered += data
            if len(gathered) < CHUNK_BYTES:
                return
            data = bytes(gathered)
            gathered.clear()
        whole = len(data) - len(data) % CHUNK_BYTES
        if whole:
            self._flush_older(stream)
            self._gathered_since.pop(stream, None)
        for start in range(0, whole, CHUNK_BYTES):
            self.kept.store(stream, data[start : start + CHUNK_BYTES])
        if whole < len(data):
            self._gathered.setdefault(stream, bytearray()).extend(data[whole:] if whole else data)
            self._gathered_since.setdefault(stream, self._last_output_at)
            if stream not in self._timers:
                later = self._loop.call_later
                self._timers[stream] = later(AGE_S, self._guard, self._flush, stream)

    def _keep_order(self, stream: int) -> None:
        """Stores the gathered output of the other stream first if it is ORDER_S older."""
        if not self._gathered_since or (
            len(self._gathered_since) == 1 and stream in self._gathered_since
        ):
            return
        if self._last_output_at - min(self._gathered_since.values()) >= ORDER_S:
            self.flush()

    def _flush(self, stream: int) -> None:
        self._flush_older(stream)
        self._store(stream)

    def _flush_older(self, stream: int) -> None:
        """Stores the output of the other stream if it began to gather before this one's."""
        since = self._gathered_since.get(stream, self._last_output_at)
        for other in [s for s, at in self._gathered_since.items() if s != stream and at <= since]:
            self._store(other)

    def _store(self, stream: int) -> None:
        if timer := self._timers.pop(stream, None):
            timer.cancel()
        self._gathered_since.pop(stream, None)
        if gathered := self._gathered.pop(stream, None):
            self.kept.store(stream, bytes(gathered))

    def flush(self) -> None:
        for stream in sorted(self._gathered_since, key=self._gathered_since.__getitem__):
            self._store(stream)

    def _pause(self) -> None:
        self.paused = True
        for fd in self._fds.values():
            self._poller.unwatch(fd)

    def resume(self) -> None:
        """Called after acknowledgements. Reads on if the tape has room."""
        if self.paused and not self._tape.full:
            self.paused = False
            if self._watched:
                for stream in self._fds:
                    self._watch(stream)

    def _close(self, stream: int) -> None:
        self._poller.close(self._fds.pop(stream))
        if not self._fds:
            self._on_end()

    def close(self) -> None:
        """Stores what was read and closes the pipes, also one that a living process still holds."""
        for fd in self._fds.values():
            self._poller.close(fd)
        self._fds.clear()
        if self._first_events:
            self._poller.give_back(self._first_events)
            self._first_events = None
        self.flush()
        self.kept.close()
