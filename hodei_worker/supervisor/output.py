"""Reads one job's pipes. Output of the two streams that was written more than ORDER_S apart
(gathered.py) keeps its order if the loop reads in time: two pipes do not tell which was written to
first."""

import fcntl
import os
import select
from collections.abc import Callable, Iterable

from hodei_worker.supervisor.gathered import Gathered
from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.kept import Kept
from hodei_worker.supervisor.masking import Masked, Masks, Piece
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.spool import CHUNK_BYTES, STDERR, STDOUT, Chunk, JobSpool

DRAIN_READS = 4
"""Number of reads of each pipe in one turn of the loop, so that other jobs are read too."""

WIDE_BYTES = 1 << 20
"""Bytes of a pipe, and of one read, once a read has filled 64 KiB: a job that writes much needs
fewer turns of the loop."""


class Output:
    """Both pipes of a job. `on_chunk` is called for each chunk in its spool, `on_disk_full` when the
    disk is full, `on_end` when both pipes are at their end."""

    def __init__(
        self,
        poller: Poller,
        job_spool: JobSpool,
        limit: int,
        guard: Guard,
        on_chunk: Callable[[Chunk], None],
        on_disk_full: Callable[[], None],
        on_end: Callable[[], None],
        masks: Masks | None = None,
    ) -> None:
        """`masks`: of the job's secrets; None: it has none."""
        self._masked = {s: Masked(masks) for s in (STDOUT, STDERR)} if masks else None
        self._poller = poller
        self._job_spool = job_spool
        self._guard = guard
        self.kept = Kept(job_spool, limit, on_chunk, on_disk_full)
        self._on_end = on_end
        self._gathered = Gathered(guard, self.kept.store)
        self._fds: dict[int, int] = {}  # stream → our end of its pipe
        self._read_bytes = {STDOUT: CHUNK_BYTES, STDERR: CHUNK_BYTES}
        self.paused = False
        # tells which stream was written to first, until the pipes are watched
        self._first_events: select.epoll | None = None
        self._watched = False

    @property
    def open(self) -> bool:
        return bool(self._fds)

    def silence_s(self) -> float:
        """Returns the seconds since the job last wrote; 0 while its pipes are not read (its spool is
        full)."""
        return 0.0 if self.paused else self._gathered.silence_s()

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
        if self._masked is not None:
            self._add_masked(stream, self._masked[stream].feed(data))
        else:
            if len(data) == CHUNK_BYTES == wanted:
                self._widen(stream)
            self._gathered.add(stream, data)
        if self._job_spool.full:
            self._pause()
        elif len(data) == wanted and self._watched:
            self._poller.rearm(self._fds[stream])

    def _add_masked(self, stream: int, pieces: Iterable[Piece]) -> None:
        """Adds what can be given out. (The pipe stays as it is: to mask a wide read would hold up
        the other jobs.)"""
        if out := b"".join(piece.out for piece in pieces):
            self._gathered.add(stream, out)
        else:
            self._gathered.touch()

    def _widen(self, stream: int) -> None:
        try:
            fcntl.fcntl(self._fds[stream], fcntl.F_SETPIPE_SZ, WIDE_BYTES)
        except OSError:
            return  # this user may have no more pipe memory
        self._read_bytes[stream] = WIDE_BYTES

    def _pause(self) -> None:
        self.paused = True
        for fd in self._fds.values():
            self._poller.unwatch(fd)

    def resume(self) -> None:
        """Called after acknowledgements. Reads on if the job's spool has room."""
        if self.paused and not self._job_spool.full:
            self.paused = False
            if self._watched:
                for stream in self._fds:
                    self._watch(stream)

    def _close(self, stream: int) -> None:
        self._poller.close(self._fds.pop(stream))
        if self._masked is not None:
            self._add_masked(stream, self._masked[stream].end())
        if not self._fds:
            self._on_end()

    def close(self) -> None:
        """Stores what was read and closes the pipes, also one that a living process still holds."""
        for stream, fd in self._fds.items():
            self._poller.close(fd)
            if self._masked is not None:
                self._add_masked(stream, self._masked[stream].end())
        self._fds.clear()
        if self._first_events:
            self._poller.give_back(self._first_events)
            self._first_events = None
        self._gathered.flush()
        self.kept.close()
