"""One job's output on disk until the server has it: chunks appended to segment files, deleted segment by segment as they are acknowledged.

Nothing is done per line but counting newlines. A job that writes nothing costs no file. Each chunk lies behind a header that tells all of
it, so that the next supervisor can read what one that died has left.
"""

import os
import struct
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

CHUNK_BYTES = 65_536
SEGMENT_BYTES = 8 << 20
FULL_BYTES = 64 << 20
"""Unacknowledged bytes of one job. Full: its pipes are not read until the server has caught up; the job waits in its write."""


HEADER = struct.Struct(">QBQQqI")
"""Sequence number, stream, offset, line, time, length of the data."""


class Chunk(NamedTuple):
    seq: int
    stream: int  # 1 stdout, 2 stderr, 3 a notice of ours
    offset: int  # of its first byte within its stream
    line: int  # number of that byte's line, from 1
    read_us: int
    data: bytes


class _Place(NamedTuple):
    segment: int
    position: int
    length: int
    stream: int
    offset: int
    line: int
    read_us: int


class Spool:
    def __init__(self, folder: Path) -> None:
        self._folder = folder  # made with the first chunk
        self._places: deque[_Place] = deque()  # of chunks not acknowledged, from self.acked on
        self._files: dict[int, int] = {}  # segment → descriptor
        self._segment_bytes = 0
        self._offsets = {1: 0, 2: 0, 3: 0}
        self._lines = {1: 1, 2: 1, 3: 1}
        self.acked = 0
        self.unacked_bytes = 0

    @classmethod
    def recover(cls, folder: Path) -> "Spool":
        """What a supervisor that died has left, up to the chunk that it was writing; to be read and acknowledged, not appended to."""
        spool = cls(folder)
        for path in sorted(folder.glob("*.log"), key=lambda path: int(path.stem)):
            segment = int(path.stem)
            spool._files[segment] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            size, position = path.stat().st_size, 0
            while position + HEADER.size <= size:
                seq, *told, length = HEADER.unpack(os.pread(spool._files[segment], HEADER.size, position))
                position += HEADER.size
                if position + length > size:
                    break
                if not spool._places:
                    spool.acked = seq
                spool._places.append(_Place(segment, position, length, *told))
                spool.unacked_bytes += length
                position += length
        return spool

    @property
    def next_seq(self) -> int:
        return self.acked + len(self._places)

    @property
    def full(self) -> bool:
        return self.unacked_bytes >= FULL_BYTES

    def append(self, stream: int, data: bytes) -> None:
        """OSError when the disk is full: nothing was added."""
        segment = self._segment()
        position = self._segment_bytes
        told = stream, self._offsets[stream], self._lines[stream], time.time_ns() // 1000
        entry = HEADER.pack(self.next_seq, *told, len(data)) + data
        written = 0
        while written < len(entry):
            written += os.pwrite(self._files[segment], entry[written:], position + written)
        self._segment_bytes += len(entry)
        self._places.append(_Place(segment, position + HEADER.size, len(data), *told))
        self._offsets[stream] += len(data)
        self._lines[stream] += data.count(b"\n")
        self.unacked_bytes += len(data)

    def _segment(self) -> int:
        newest = max(self._files, default=0)
        if newest and self._segment_bytes < SEGMENT_BYTES:
            return newest
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{newest + 1}.log"
        self._files[newest + 1] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._segment_bytes = 0
        return newest + 1

    def read(self, seq: int) -> Chunk | None:
        """None: not written yet, or acknowledged already."""
        if not self.acked <= seq < self.next_seq:
            return None
        place = self._places[seq - self.acked]
        data = os.pread(self._files[place.segment], place.length, place.position)
        return Chunk(seq, place.stream, place.offset, place.line, place.read_us, data)

    def ack(self, seq: int) -> None:
        """Everything before seq is stored: it is not needed here any more."""
        while self._places and self.acked < seq:
            self.unacked_bytes -= self._places.popleft().length
            self.acked += 1
        oldest = self._places[0].segment if self._places else max(self._files, default=0)
        for segment in [s for s in self._files if s < oldest]:
            self._remove(segment)

    def close(self) -> None:
        for segment in list(self._files):
            self._remove(segment)
        if self._folder.exists():
            self._folder.rmdir()

    def _remove(self, segment: int) -> None:
        os.close(self._files.pop(segment))
        (self._folder / f"{segment}.log").unlink(missing_ok=True)
