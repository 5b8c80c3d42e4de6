"""The last part of a log that is over its limit: on disk, in two files that take turns, until the job has ended."""

import struct
import tempfile
from pathlib import Path
from typing import IO

from hodei_worker.supervisor.spool import CHUNK_BYTES

LEAST_BYTES = 64 << 10
HEADER = struct.Struct("<BI")


def share(limit: int) -> int:
    """Of a log limit: a tenth, at least 64 KiB, but never more than half of it."""
    return min(max(limit // 10, LEAST_BYTES), limit // 2)


class Tail:
    """What was written last, of both streams in their order: at least `most` bytes of it."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        # The older one, if there is one, and the newer; with the bytes in each.
        self._files: list[tuple[IO[bytes], int]] = []
        self.bytes = 0  # ever added
        self.added = [0] * 4  # of them, by stream
        self.lines = [0] * 4

    def add(self, stream: int, data: bytes) -> None:
        """OSError: the disk takes nothing more."""
        for start in range(0, len(data), CHUNK_BYTES):
            self._add(stream, data[start : start + CHUNK_BYTES])

    def _add(self, stream: int, data: bytes) -> None:
        if not self._files or self._files[-1][1] >= self._most:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh: IO[bytes] = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            for old, _ in self._files[:-1]:
                old.close()
            self._files = [*self._files[-1:], (fresh, 0)]
        file, held = self._files[-1]
        whole = HEADER.pack(stream, len(data)) + data
        at = file.tell()
        try:
            while whole:
                whole = whole[file.write(whole) :]
        except OSError:
            file.seek(at)
            file.truncate()
            raise
        self._files[-1] = (file, held + len(data))
        self.bytes += len(data)
        self.added[stream] += len(data)
        self.lines[stream] += data.count(b"\n")

    def take(self, most: int) -> list[tuple[int, bytes]]:
        """The last bytes, at most so many, from the beginning of a line where there is one."""
        pieces = []
        for file, _ in self._files:
            file.seek(0)
            with file:
                while header := file.read(HEADER.size):
                    stream, length = HEADER.unpack(header)
                    pieces.append((stream, file.read(length)))
        self._files.clear()
        spare = sum(len(data) for _, data in pieces) - most
        whole = self.bytes <= most
        while pieces and spare >= len(pieces[0][1]):
            spare -= len(pieces.pop(0)[1])
        if pieces and spare > 0:
            pieces[0] = (pieces[0][0], pieces[0][1][spare:])
        if pieces and not whole:
            _, newline, rest = pieces[0][1].partition(b"\n")
            if newline:
                pieces[0] = (pieces[0][0], rest)
        return pieces

    def close(self) -> None:
        for file, _ in self._files:
            file.close()
        self._files.clear()
