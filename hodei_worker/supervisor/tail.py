"""The last part of a log over its limit, on disk: two files that are overwritten in turn.

Each file takes as many bytes as must be kept, so that both together always have the last ones. Each
such job has files of its own: in the shared segments, a job that writes little would keep many
segments from being removed.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

RECORD = struct.Struct(">QQB?QQqI")
"""Next number of the job's spool, bytes that the tail got before, stream, whether it begins a line,
offset, line, time (µs since 1970), length of the data, which follows."""

SUFFIXES = (".tail0", ".tail1")


class Piece(NamedTuple):
    before: int  # bytes of both streams that the tail got before it
    stream: int
    begins_line: bool
    offset: int  # of its first byte within its stream
    line: int
    read_us: int
    data: bytes

    def without_first(self, bytes_: int) -> "Piece":
        """Returns the piece without its first bytes."""
        if not bytes_:
            return self
        gone, left = self.data[:bytes_], self.data[bytes_:]
        return Piece(
            self.before + bytes_,
            self.stream,
            gone.endswith(b"\n"),
            self.offset + bytes_,
            self.line + gone.count(b"\n"),
            self.read_us,
            left,
        )


class _PieceHeader(NamedTuple):
    """A piece whose data was not read, and the place of its data."""

    fd: int
    position: int
    length: int
    before: int
    stream: int
    begins_line: bool
    offset: int
    line: int
    read_us: int

    def piece(self) -> Piece:
        return Piece(*self[3:], os.pread(self.fd, self.length, self.position))


class Tail:
    """The tail of one job. `keep`: bytes of the end to keep; `next_seq`: the number in its spool
    that the first piece will get at least."""

    def __init__(self, folder: Path, lease: int, keep: int, next_seq: int) -> None:
        self._paths = [folder / f"{lease}{suffix}" for suffix in SUFFIXES]
        self._keep = keep
        self.next_seq = next_seq
        self._fds: list[int] = []  # the last one is written to
        self._written = 0  # bytes in it, with headers
        self._data = 0  # bytes in it, without headers
        self.seen = 0  # bytes of all pieces

    @classmethod
    def recover(cls, folder: Path, lease: int) -> "Tail | None":
        """Reads what a dead supervisor has left of this job, up to the piece that it was writing;
        None if there is nothing."""
        tail = cls(folder, lease, 0, 0)
        found = []
        for path in tail._paths:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            if first := os.pread(fd, RECORD.size, 0):
                found.append((first, fd))
            else:
                os.close(fd)
        found.sort(key=lambda one: RECORD.unpack(one[0].ljust(RECORD.size, b"\0"))[1])
        tail._fds = [fd for _, fd in found]
        for header in tail._headers():
            tail.seen = header.before + header.length
        if not tail.seen:
            tail.remove()
            return None
        tail.next_seq = RECORD.unpack(os.pread(tail._fds[0], RECORD.size, 0))[0]
        tail._keep = tail.seen  # everything: the number of bytes to keep is no longer known
        return tail

    def write(
        self, stream: int, begins_line: bool, offset: int, line: int, read_us: int, data: bytes
    ) -> None:
        """Raises OSError if the disk is full; nothing was added then."""
        if not self._fds or self._data >= self._keep or self._written > 2 * self._keep + 65_536:
            self._switch_file()
        values = (self.next_seq, self.seen, stream, begins_line, offset, line, read_us)
        record = RECORD.pack(*values, len(data)) + data
        done = 0
        try:
            while done < len(record):
                done += os.pwrite(self._fds[-1], record[done:], self._written + done)
        except OSError:
            os.ftruncate(self._fds[-1], self._written)
            raise
        self._written += done
        self._data += len(data)
        self.seen += len(data)

    def _switch_file(self) -> None:
        """Empties the older of the two files and writes to it from now on."""
        if len(self._fds) < len(self._paths):
            path = self._paths[len(self._fds)]
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fds.append(os.open(path, flags, 0o600))
        else:
            os.ftruncate(self._fds[0], 0)
            self._fds.reverse()
        self._written = self._data = 0

    def _headers(self) -> Iterator["_PieceHeader"]:
        """Yields the headers of all pieces, oldest first."""
        for fd in self._fds:
            position, size = 0, os.fstat(fd).st_size
            while position + RECORD.size <= size:
                _, *values, length = RECORD.unpack(os.pread(fd, RECORD.size, position))
                position += RECORD.size
                if position + length > size:
                    return
                yield _PieceHeader(fd, position, length, *values)
                position += length

    def _wanted_pieces(self) -> Iterator[tuple["_PieceHeader", int]]:
        """Yields the pieces of the last `keep` bytes. The number says how many bytes at the
        beginning of the piece are not among them."""
        for header in self._headers():
            excess = max(0, self.seen - self._keep - header.before)
            if excess < header.length:
                yield header, excess

    def _kept_pieces(self) -> Iterator[tuple["_PieceHeader", int]]:
        """Yields the pieces to keep, with the number of bytes to cut at the beginning of each. If
        output is missing before them, each stream begins with a whole line, if it has one."""
        begins = self._first_offsets()
        for header, excess in self._wanted_pieces():
            cut = max(excess, begins[header.stream] - header.offset)
            if cut < header.length:
                yield header, cut

    def pieces(self) -> Iterator[Piece]:
        """Yields the pieces to keep. One at a time is in memory."""
        for header, cut in self._kept_pieces():
            yield header.piece().without_first(cut)

    def kept_bytes(self) -> int:
        return sum(header.length - cut for header, cut in self._kept_pieces())

    def _first_offsets(self) -> dict[int, int]:
        """Returns for each stream the offset from which it is kept."""
        first: dict[int, int] = {}
        lines: dict[int, int] = {}
        ends: dict[int, int] = {}
        for header, excess in self._wanted_pieces():
            whole = header.before == 0 and not excess and not first
            first.setdefault(header.stream, header.offset + excess)
            if whole:
                return dict.fromkeys((1, 2), 0)
            ends[header.stream] = header.offset + header.length
            if header.stream not in lines:
                piece = header.piece().without_first(excess)
                at = 0 if piece.begins_line else piece.data.find(b"\n") + 1
                if at or piece.begins_line:
                    lines[header.stream] = piece.offset + at
        return {s: at if lines.get(s, ends[s]) == ends[s] else lines[s] for s, at in first.items()}

    def remove(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        for path in self._paths:
            path.unlink(missing_ok=True)
