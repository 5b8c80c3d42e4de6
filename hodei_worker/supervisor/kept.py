"""The part of a job's output that is kept: of a log over its limit the first and the last part, and
on a full disk as much as fits. A notice in the log says where something is missing."""

import functools
from collections.abc import Callable

from hodei.protocol.words import Outcome, Reason
from hodei_worker.supervisor.result import Result, failed
from hodei_worker.supervisor.spool import FULL_BYTES, NOTICE, Chunk, JobSpool, left_out
from hodei_worker.supervisor.tail import Tail

LEAST_TAIL, MOST_TAIL = 65_536, FULL_BYTES

DISK_FULL = ": the worker's disk was full"


@functools.lru_cache(maxsize=64)  # nearly all jobs have the same limit
def tail_of(limit: int) -> int:
    """Returns how many bytes of the end are kept: a tenth of the limit, at least 64 KiB (or half
    the limit, if that is less) and at most 64 MiB."""
    return min(max(limit // 10, LEAST_TAIL), (limit + 1) // 2, MOST_TAIL)


def smaller_limit(*limits: int) -> int:
    """Returns the smaller limit; 0 means no limit."""
    return min(filter(None, limits), default=0)


class Kept:
    """`on_chunk` is called for each chunk that is stored, `on_disk_full` when a write has failed."""

    def __init__(
        self,
        job_spool: JobSpool,
        limit: int,
        on_chunk: Callable[[Chunk], None],
        on_disk_full: Callable[[], None],
    ) -> None:
        self._job_spool = job_spool
        self._head = limit - tail_of(limit)
        self._limit = limit  # bytes of both streams together; 0: no limit
        self._on_chunk = on_chunk
        self._on_disk_full = on_disk_full
        self._tail: Tail | None = None  # set once the first part is full
        self._gap = 0  # bytes that were not stored since the last notice (disk full)
        self.bytes = 0  # kept
        self.written = 0  # by the job
        self.lost = 0  # bytes that were not stored (disk full)

    def store(self, stream: int, data: bytes) -> None:
        """Stores at most CHUNK_BYTES. Bytes for which the disk has no room are counted as lost."""
        self.written += len(data)
        if self._tail is None:
            if not self._limit or self.bytes + len(data) <= self._head:
                self._append(stream, data)
                return
            cut = self._cut(stream, data)
            if cut:
                self._append(stream, data[:cut])
                data = data[cut:]
            self._tail = self._job_spool.tail(tail_of(self._limit))
        try:
            if data:
                self._job_spool.write_to_tail(self._tail, stream, data)
        except OSError:
            self._lose(stream, data)

    def _cut(self, stream: int, data: bytes) -> int:
        """Returns where the first part ends: behind a line, or, if it would be empty then, behind a
        whole character."""
        room = max(0, self._head - self.bytes)
        if at := data.rfind(b"\n", 0, room) + 1:
            return at
        if self.bytes and self._job_spool.written.begins_line(stream):
            return 0
        while 0 < room < len(data) and data[room] & 0xC0 == 0x80:
            room -= 1
        return room

    def _append(self, stream: int, data: bytes) -> None:
        try:
            if self._gap:
                self._on_chunk(self._job_spool.append(NOTICE, left_out(self._gap, DISK_FULL)))
                self._gap = 0
            chunk = self._job_spool.append(stream, data)
        except OSError:
            self._lose(stream, data)
            return
        self.bytes += len(data)
        self._on_chunk(chunk)

    def _lose(self, stream: int, data: bytes) -> None:
        self._job_spool.written.count(stream, data)
        self._gap += len(data)
        self.lost += len(data)
        self._on_disk_full()

    def close(self) -> None:
        """Called at the job's end: appends the last part to the first."""
        if self._tail:
            wanted = self._tail.kept_bytes()
            try:
                for chunk in self._job_spool.append_tail(self._tail):
                    if chunk.stream != NOTICE:
                        self.bytes += len(chunk.data)
                        wanted -= len(chunk.data)
                    self._on_chunk(chunk)
            except OSError:
                self._gap += wanted
                self.lost += wanted
                self._on_disk_full()
            self._tail.remove()
            self._tail = None
        if self._gap:
            self._on_chunk(self._job_spool.append_notice(left_out(self._gap, DISK_FULL)))
            self._gap = 0

    def add_to(self, result: Result) -> None:
        """Fills in the figures of the log. If the disk was full, one chunk more than
        there are is counted: servers then know that the log is incomplete."""
        chunks = self._job_spool.next_seq
        result.log_chunks = chunks + bool(self.lost)
        result.spooled = chunks
        result.log_bytes = self.bytes
        result.log_dropped_bytes = self.written - self.bytes
        if not self.lost:
            return
        words = f"{self.lost} bytes of its log are lost: the worker's disk was full"
        if result.outcome == Outcome.SUCCEEDED:
            result.set_cause(failed(Reason.LIMIT_EXCEEDED, words))
        else:
            result.add_message(words)
