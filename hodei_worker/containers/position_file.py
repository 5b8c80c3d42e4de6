"""The file in which a position is kept (position.py): one record, which each chunk overwrites."""

import os
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from hodei_worker.containers.frames import TIME_BYTES
from hodei_worker.supervisor.spool import STDERR, STDOUT
from hodei_worker.supervisor.written import STREAMS

BEFORE = f">?Q{STREAMS}Q{STREAMS}Q{STREAMS}?3Q{TIME_BYTES}s" + 2 * f"{TIME_BYTES}sQ"
"""The record of the release before, which had no `more` and no `covered`."""

RECORD = struct.Struct(BEFORE + "2Q2Q")
"""The fields of Record, in their order; `more` and `covered` of each stream at the end."""


class Place(NamedTuple):
    """Where one stream's log goes on."""

    time: bytes  # of the last message that was kept
    under: int  # bytes kept from the first message of that time on
    more: int  # bytes kept behind these, of messages that were not read again yet
    covered: int = 0  # of the job's next bytes, those for which a mask is kept (masked_stream.py)


class Record(NamedTuple):
    started: bool  # the container was
    next_seq: int  # of the job's spool
    offsets: list[int]  # of the job's spool, by stream
    lines: list[int]  # of the job's spool, by stream
    in_line: list[bool]  # of the job's spool, by stream
    written: int  # bytes, as kept.py counts them
    kept: int
    lost: int
    needed: bytes  # time from which the log must be read again
    places: dict[int, Place]  # by stream: STDOUT and STDERR

    def packed(self) -> bytes:
        out, err = self.places[STDOUT], self.places[STDERR]
        numbers = (*self.offsets, *self.lines, *self.in_line, self.written, self.kept, self.lost)
        places = (*out[:2], *err[:2], out.more, err.more, out.covered, err.covered)
        return RECORD.pack(self.started, self.next_seq, *numbers, self.needed, *places)

    @classmethod
    def unpacked(cls, content: bytes) -> "Record":
        """`content` may be a record of the release before."""
        values = iter(RECORD.unpack(content.ljust(RECORD.size, b"\0")))
        return cls(
            started=next(values),
            next_seq=next(values),
            offsets=list(islice(values, STREAMS)),
            lines=list(islice(values, STREAMS)),
            in_line=list(islice(values, STREAMS)),
            written=next(values),
            kept=next(values),
            lost=next(values),
            needed=next(values),
            places=_places(values),
        )


def _places(values: Iterator[Any]) -> dict[int, Place]:
    out_time, out_under, err_time, err_under, *more = values
    return {
        STDOUT: Place(out_time, out_under, more[0], more[2]),
        STDERR: Place(err_time, err_under, more[1], more[3]),
    }


class PositionFile:
    """The file in which the position of one log is kept."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True, mode=0o700)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def read(self) -> Record | None:
        """Returns None if nothing was written yet."""
        content = os.pread(self._file, RECORD.size, 0)
        return Record.unpacked(content) if len(content) >= struct.calcsize(BEFORE) else None

    def write(self, record: Record) -> None:
        """A full disk leaves the record before."""
        try:
            os.pwrite(self._file, record.packed(), 0)
        except OSError:
            return

    def close(self) -> None:
        os.close(self._file)
