"""How far the log of one container is kept: so that the next process continues it without a gap or
a double.

The engine can send a log again from a time on. For each stream the position has the time of the
last message that was kept, and how many bytes under that time."""

import os
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hodei_worker.containers.frames import BEFORE_ALL, TIME_BYTES
from hodei_worker.supervisor.kept import Kept
from hodei_worker.supervisor.spool import NOTICE, STDERR, STDOUT, Tape

STATE = struct.Struct(f">?Q4Q4Q4?3Q{TIME_BYTES}s{TIME_BYTES}sQ{TIME_BYTES}sQ")
"""Whether the container was started; the tape's next number, offsets, lines and open lines; bytes
written, kept and lost; the time from which the log must be read again; for each stream the time of
its mark and the bytes under it."""


@dataclass
class Mark:
    """A place in one stream's log, behind what is kept."""

    time: bytes = BEFORE_ALL  # of a message
    under: int = 0  # bytes from the first message of that time on
    more: int = 0  # further bytes, of that message and later ones
    seen: bool = False  # while the log is read again: a message of that time, or a later one, came


class Again(NamedTuple):
    """How a log is read again."""

    since: bytes  # time of the first message that is needed
    marks: dict[int, Mark]


@dataclass
class _Stream:
    mark: Mark = field(default_factory=Mark)
    # (time, offset of its first byte) of messages that were read and are not kept yet
    ahead: deque[tuple[bytes, int]] = field(default_factory=deque)
    read: int = 0  # offset of the next byte from the engine


class Position:
    """Kept in a file that each chunk overwrites. It is written after the spool: a process that dies
    between both has a chunk in the spool that the file does not know."""

    def __init__(self, path: Path, tape: Tape, kept: Kept) -> None:
        """Reads what an earlier process has written there, if there is something, and makes the tape
        go on from it."""
        self._tape = tape
        self._kept = kept
        self._streams = {STDOUT: _Stream(), STDERR: _Stream()}
        self._needed = BEFORE_ALL
        self.seen = BEFORE_ALL  # time of the last message that came, also of one that was kept
        path.parent.mkdir(exist_ok=True, mode=0o700)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.started = False  # the container was
        self._load()

    def _load(self) -> None:
        content = os.pread(self._file, STATE.size, 0)
        if len(content) < STATE.size:
            return
        self.started, seq, *v = STATE.unpack(content)
        written = self._tape.written
        written.offsets, written.lines, written.in_line = v[:4], v[4:8], v[8:12]
        self._kept.written, self._kept.bytes, self._kept.lost = v[12:15]
        self._tape.go_on_from(seq)
        self._count_unknown(seq)
        self._needed = v[15]
        for stream, time, under in ((STDOUT, v[16], v[17]), (STDERR, v[18], v[19])):
            one, more = self._streams[stream], written.offsets[stream] - v[stream]
            one.mark = Mark(time, under, more)
            self._kept.written += more

    def _count_unknown(self, seq: int) -> None:
        """Counts the chunks in the spool from `seq` on: the last one, and those of a tail."""
        for number in range(max(self._tape.acked, seq), self._tape.next_seq):
            if chunk := self._tape.read(number):
                self._kept.bytes += len(chunk.data) if chunk.stream != NOTICE else 0
                self._tape.written.count_again(chunk.stream, chunk.offset, chunk.line, chunk.data)

    def again(self, slack: Callable[[bytes], bytes]) -> Again:
        """Returns how to continue. What was read and not kept is forgotten. `slack` makes a time a
        little earlier: the two streams may be a little out of order."""
        needed = self.seen = self._needed
        since = slack(needed) if needed != BEFORE_ALL else BEFORE_ALL
        marks = {}
        for stream, one in self._streams.items():
            one.ahead.clear()
            one.read = self._tape.written.offsets[stream]
            kept = one.mark
            under = kept.under if kept.time >= since else 0
            marks[stream] = Mark(kept.time, under, kept.more, seen=kept.time == BEFORE_ALL)
        return Again(since, marks)

    def note_kept(self, stream: int, time: bytes, length: int) -> None:
        """Bytes were read again of which the spool knew and the file did not."""
        mark = self._streams[stream].mark
        if time != mark.time:
            mark.time, mark.under = time, 0
        mark.under += length
        mark.more -= length

    def note_read(self, stream: int, time: bytes, length: int) -> None:
        """Bytes of a message were read that are kept later, in order."""
        one = self._streams[stream]
        last = one.ahead[-1][0] if one.ahead else one.mark.time
        if time != last:
            one.ahead.append((time, one.read))
        one.read += length

    def store(self, stream: int, data: bytes) -> None:
        """Keeps a chunk and writes down the new position."""
        one = self._streams[stream]
        mark, offsets = one.mark, self._tape.written.offsets
        begin = offsets[stream] - mark.under - mark.more
        self._kept.store(stream, data)
        end = offsets[stream]
        while one.ahead and one.ahead[0][1] <= end:
            mark.time, begin = one.ahead.popleft()
        mark.under, mark.more = end - begin, 0
        self.write()

    def write(self) -> None:
        """Writes the position down. A full disk leaves the one before: after a crash some output
        would be kept twice."""
        written, kept = self._tape.written, self._kept
        out, err = self._streams[STDOUT].mark, self._streams[STDERR].mark
        self._needed = self._first_unkept() or self.seen
        content = STATE.pack(
            self.started,
            self._tape.next_seq,
            *written.offsets,
            *written.lines,
            *written.in_line,
            kept.written,
            kept.bytes,
            kept.lost,
            self._needed,
            out.time,
            out.under,
            err.time,
            err.under,
        )
        try:
            os.pwrite(self._file, content, 0)
        except OSError:
            return

    def _first_unkept(self) -> bytes:
        """Returns the time of the first message that was read and is not kept whole."""
        offsets = self._tape.written.offsets
        times = [one.mark.time for s, one in self._streams.items() if one.read > offsets[s]]
        return min(times, default=b"")

    def close(self) -> None:
        os.close(self._file)


async def remove(path: Path) -> None:
    """Removes the file of a position. As a task of its own it begins when what was to be done
    before is done: the journal has the result then."""
    path.unlink(missing_ok=True)
