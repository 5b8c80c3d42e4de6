"""Keeps the output of jobs on disk until a server has stored it. The chunks of all jobs are written
one after the other into segment files; a segment is deleted when all its chunks are acknowledged.
The last part of a log over its limit is kept beside them (tail.py).

Jobs share the files, because to make and remove a file costs a wait for the file system's journal.
Lines are only counted. Each chunk follows a header with all its fields, so that the next supervisor
can read what a dead one has left."""

import os
import shutil
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hodei_worker.supervisor.tail import Tail
from hodei_worker.supervisor.written import Written

CHUNK_BYTES = 65_536
SEGMENT_BYTES = 8 << 20
"""Bytes of a segment file; the chunk that reaches it is the last."""

FULL_BYTES = 64 << 20
"""Unacknowledged bytes of one job. At the bound its pipes are not read until a server has caught
up; the job then waits in its write."""

STDOUT, STDERR, NOTICE = 1, 2, 3

IN_MEMORY = -1
"""Stands for a segment's number: the chunk is a notice that is kept in memory (disk full)."""

HEADER = struct.Struct(">QQBQQqI")
"""Lease, sequence number, stream, offset, line, time (µs since 1970), length of the data in
bytes."""


def left_out(bytes_: int, why: str = "") -> bytes:
    """Returns a notice that stands in the place of missing output."""
    return f"[{bytes_} bytes left out{why}]\n".encode()


class Chunk(NamedTuple):
    seq: int
    stream: int  # STDOUT, STDERR or NOTICE
    offset: int  # of the first byte within its stream
    line: int  # line number of the first byte, from 1
    read_us: int  # µs since 1970
    data: bytes


class Position(NamedTuple):
    segment: int
    offset: int  # of the data in the file


class _StoredChunk(NamedTuple):
    """The place of a chunk on disk, and its fields."""

    segment: int
    position: int
    length: int
    stream: int
    offset: int
    line: int
    read_us: int
    data: bytes = b""  # only of a chunk in memory


class _Segment:
    def __init__(self, path: Path, flags: int = os.O_CREAT | os.O_EXCL) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        self.bytes = os.fstat(self.fd).st_size
        self.live = 0  # number of its chunks that are not acknowledged

    def remove(self) -> None:
        os.close(self.fd)
        self.path.unlink(missing_ok=True)


class Spool:
    """The spool of one supervisor. `of_job` returns one job's part of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # it is made with the first chunk
        self._segments: dict[int, _Segment] = {}
        self._newest = 0

    @classmethod
    def recover(cls, folder: Path, leases: Iterable[int]) -> tuple["Spool", dict[int, "JobSpool"]]:
        """Reads what a dead supervisor has left of these leases, up to the chunk that it was
        writing. The output of other leases is removed."""
        spool = cls(folder)
        job_spools = {lease: JobSpool(spool, lease) for lease in leases}
        segments = (int(path.stem) for path in folder.glob("*.log") if path.stem.isdigit())
        for number in sorted(segments):
            spool._segments[number] = segment = _Segment(folder / f"{number}.log", 0)
            spool._newest = number
            position = 0
            while position + HEADER.size <= segment.bytes:
                lease, seq, *values, length = HEADER.unpack(
                    os.pread(segment.fd, HEADER.size, position)
                )
                position += HEADER.size
                if position + length > segment.bytes:
                    break
                if job_spool := job_spools.get(lease):
                    job_spool._add_recovered(seq, _StoredChunk(number, position, length, *values))
                position += length
        for number in list(spool._segments):
            spool._remove_if_dead(number)
        spool._newest += 1  # the last segment may end with half a chunk
        for job_spool in job_spools.values():
            job_spool._recover_tail()
        for path in folder.glob("*.tail?"):
            path.unlink(missing_ok=True)
        return spool, job_spools

    def of_job(self, lease: int) -> "JobSpool":
        return JobSpool(self, lease)

    def write(self, header: bytes, data: bytes) -> Position:
        """Returns where the data is. Raises OSError if the disk is full; nothing was added then."""
        segment = self._open_segment()
        position, whole = segment.bytes, len(header) + len(data)
        written = os.pwritev(segment.fd, (header, data), position)
        while written < whole:
            written += os.pwrite(segment.fd, (header + data)[written:], position + written)
        segment.bytes += whole
        segment.live += 1
        return Position(self._newest, position + len(header))

    def _open_segment(self) -> _Segment:
        segment = self._segments.get(self._newest)
        if segment is not None and segment.bytes < SEGMENT_BYTES:
            return segment
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = _Segment(self.folder / f"{self._newest + 1}.log")
        before, self._newest = self._newest, self._newest + 1
        self._segments[self._newest] = fresh
        self._remove_if_dead(before)
        return fresh

    def read(self, stored: _StoredChunk) -> bytes:
        if stored.segment == IN_MEMORY:
            return stored.data
        return os.pread(self._segments[stored.segment].fd, stored.length, stored.position)

    def release_chunk(self, segment: int) -> None:
        """One chunk of the segment is no longer needed."""
        if segment == IN_MEMORY:
            return
        self._segments[segment].live -= 1
        if segment != self._newest:
            self._remove_if_dead(segment)

    def _remove_if_dead(self, number: int) -> None:
        if (segment := self._segments.get(number)) and not segment.live:
            self._segments.pop(number).remove()

    def close(self) -> None:
        """Removes the folder. It is called when no output is needed any more."""
        for segment in self._segments.values():
            os.close(segment.fd)
        self._segments.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


class JobSpool:
    """One job's output: numbered chunks, from the first unacknowledged one on."""

    def __init__(self, spool: Spool, lease: int) -> None:
        self._spool = spool
        self._lease = lease
        self._chunks: deque[_StoredChunk] = deque()  # unacknowledged ones, from self.acked on
        self.written = Written()
        self.acked = 0
        self.unacked_bytes = 0

    @property
    def next_seq(self) -> int:
        return self.acked + len(self._chunks)

    @property
    def full(self) -> bool:
        return self.unacked_bytes >= FULL_BYTES

    def append(self, stream: int, data: bytes) -> Chunk:
        """Raises OSError if the disk is full; nothing was added then."""
        offset, line = self.written.offsets[stream], self.written.lines[stream]
        chunk = self._write(stream, offset, line, time.time_ns() // 1000, data)
        self.written.count(stream, data)
        return chunk

    def _write(self, stream: int, offset: int, line: int, read_us: int, data: bytes) -> Chunk:
        chunk = Chunk(self.next_seq, stream, offset, line, read_us, data)
        values = (self._lease, chunk.seq, stream, offset, line, read_us)
        segment, position = self._spool.write(HEADER.pack(*values, len(data)), data)
        self._add(_StoredChunk(segment, position, len(data), stream, offset, line, read_us))
        return chunk

    def _add(self, stored: _StoredChunk) -> None:
        self._chunks.append(stored)
        self.unacked_bytes += stored.length

    def append_notice(self, words: bytes) -> Chunk:
        """Appends a notice that must not be lost. If the disk is full, it is kept in memory."""
        try:
            return self.append(NOTICE, words)
        except OSError:
            stored = _StoredChunk(
                IN_MEMORY,
                0,
                len(words),
                NOTICE,
                self.written.offsets[NOTICE],
                self.written.lines[NOTICE],
                time.time_ns() // 1000,
                words,
            )
            self._add(stored)
            self.written.count(NOTICE, words)
            return Chunk(self.next_seq - 1, *stored[3:])

    # ── the last part of a log over its limit ──

    def tail(self, keep: int) -> Tail:
        """Makes a tail. Its pieces get their numbers when the job has ended."""
        return Tail(self._spool.folder, self._lease, keep, self.next_seq)

    def write_to_tail(self, tail: Tail, stream: int, data: bytes) -> None:
        """Raises OSError if the disk is full; nothing was added then."""
        offset, line = self.written.offsets[stream], self.written.lines[stream]
        begins = self.written.begins_line(stream)
        tail.write(stream, begins, offset, line, time.time_ns() // 1000, data)
        self.written.count(stream, data)

    def append_tail(self, tail: Tail) -> Iterator[Chunk]:
        """Appends the pieces of a tail, after a notice of what is missing before them. Raises
        OSError if the disk is full."""
        if missing := tail.seen - tail.kept_bytes():
            yield self.append_notice(left_out(missing))
        for piece in tail.pieces():
            yield self._write(piece.stream, piece.offset, piece.line, piece.read_us, piece.data)

    def _recover_tail(self) -> None:
        """Appends the tail that a dead supervisor has left, if it had not done so itself: then
        there are chunks with later numbers."""
        tail = Tail.recover(self._spool.folder, self._lease)
        if tail is None:
            return
        if not self._chunks:
            self.acked = tail.next_seq
        try:
            if self.next_seq == tail.next_seq:
                for _ in self.append_tail(tail):
                    pass
        except OSError:
            pass  # the disk is full; the number of chunks in the result shows that some are missing
        tail.remove()

    def _add_recovered(self, seq: int, stored: _StoredChunk) -> None:
        """Adds a chunk that was found on disk. A gap in the numbers is a segment that was removed:
        all chunks before it were acknowledged, and are dropped."""
        if seq != self.next_seq or not self._chunks:
            self.close()
            self.acked = seq
        self._spool._segments[stored.segment].live += 1
        self._add(stored)

    def go_on_from(self, next_seq: int) -> None:
        """Numbers the next chunk at least `next_seq`, as an earlier supervisor would have done:
        chunks before it that are not here were acknowledged."""
        if self.next_seq < next_seq:
            self.close()
            self.acked = next_seq

    def read(self, seq: int) -> Chunk | None:
        """Returns None if the chunk is not written yet or already acknowledged."""
        if not self.acked <= seq < self.next_seq:
            return None
        stored = self._chunks[seq - self.acked]
        return Chunk(
            seq, stored.stream, stored.offset, stored.line, stored.read_us, self._spool.read(stored)
        )

    def ack(self, seq: int) -> None:
        """Drops all chunks before `seq`: a server has stored them."""
        while self._chunks and self.acked < seq:
            stored = self._chunks.popleft()
            self.unacked_bytes -= stored.length
            self.acked += 1
            self._spool.release_chunk(stored.segment)

    def close(self) -> None:
        self.ack(self.next_seq)
