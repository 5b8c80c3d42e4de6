"""What is kept of a job's output, and where it is said that something is not: over the log limit
its first and its last part, and on a full disk what there was room for."""

from collections.abc import Callable
from dataclasses import replace

from hodei.protocol.words import Outcome, Reason
from hodei_worker.supervisor.result import Result, failed
from hodei_worker.supervisor.spool import FULL_BYTES, NOTICE, Chunk, Tape, left_out
from hodei_worker.supervisor.tail import Tail

LEAST_TAIL, MOST_TAIL = 65_536, FULL_BYTES

DISK_FULL = ": the worker's disk was full"


def tail_of(limit: int) -> int:
    """Bytes of the end that are kept of a log with this limit: a tenth of it, but at least 64 KiB
    (of a small one the half) and at most 64 MiB."""
    return min(max(limit // 10, LEAST_TAIL), (limit + 1) // 2, MOST_TAIL)


def smaller_limit(*limits: int) -> int:
    """0 is none."""
    return min(filter(None, limits), default=0)


class Kept:
    """`wrote` is called with each chunk of the tape, `disk_full` when it takes nothing more."""

    def __init__(
        self,
        tape: Tape,
        limit: int,
        on_chunk: Callable[[Chunk], None],
        on_disk_full: Callable[[], None],
    ) -> None:
        self._tape = tape
        self._head = limit - tail_of(limit)
        self._limit = limit  # bytes of both streams together; 0: none
        self._on_chunk = on_chunk
        self._on_disk_full = on_disk_full
        self._tail: Tail | None = None  # once the first part is full
        self._gap = 0  # bytes that the disk did not take, and no notice has told of
        self.bytes = 0
        self.written = 0
        self.lost = 0  # bytes that the disk did not take

    def store(self, stream: int, data: bytes) -> None:
        """At most a chunk."""
        self.written += len(data)
        if self._tail is None:
            if not self._limit or self.bytes + len(data) <= self._head:
                self._append(stream, data)
                return
            cut = self._cut(stream, data)
            if cut:
                self._append(stream, data[:cut])
                data = data[cut:]
            self._tail = self._tape.tail(tail_of(self._limit))
        try:
            if data:
                self._tape.write_to_tail(self._tail, stream, data)
        except OSError:
            self._lose(stream, data)

    def _cut(self, stream: int, data: bytes) -> int:
        """The first part ends with a line, or where it would be empty, with a character."""
        room = max(0, self._head - self.bytes)
        if at := data.rfind(b"\n", 0, room) + 1:
            return at
        if self.bytes and self._tape.begins_line(stream):
            return 0
        while 0 < room < len(data) and data[room] & 0xC0 == 0x80:
            room -= 1
        return room

    def _append(self, stream: int, data: bytes) -> None:
        try:
            if self._gap:
                self._on_chunk(self._tape.append(NOTICE, left_out(self._gap, DISK_FULL)))
                self._gap = 0
            chunk = self._tape.append(stream, data)
        except OSError:
            self._lose(stream, data)
            return
        self.bytes += len(data)
        self._on_chunk(chunk)

    def _lose(self, stream: int, data: bytes) -> None:
        self._tape.skip(stream, data)
        self._gap += len(data)
        self.lost += len(data)
        self._on_disk_full()

    def close(self) -> None:
        """The last part goes behind the first."""
        if self._tail:
            wanted = self._tail.kept_bytes()
            try:
                for chunk in self._tape.append_tail(self._tail):
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
            self._on_chunk(self._tape.append_notice(left_out(self._gap, DISK_FULL)))
            self._gap = 0

    def add_to(self, result: Result) -> Result:
        """A job's result with what became of its log. A chunk that the disk did not take is counted
        as one that never comes: by this the log is known to be incomplete."""
        chunks = self._tape.next_seq
        result = replace(
            result,
            log_chunks=chunks + bool(self.lost),
            spooled=chunks,
            log_bytes=self.bytes,
            log_dropped_bytes=self.written - self.bytes,
        )
        if not self.lost:
            return result
        words = f"{self.lost} bytes of its log are lost: the worker's disk was full"
        if result.outcome == Outcome.SUCCEEDED:
            return result.with_cause(failed(Reason.LIMIT_EXCEEDED, words))
        return result.with_messages(words)
