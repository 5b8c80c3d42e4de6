"""How far the log of one container is kept: so that the next process continues it without a gap or
a double.

The engine can send a log again from a time on. For each stream the position has the time of the
last message that was kept, and how many bytes under that time. Of a masked log these count the
job's bytes, while the job's spool counts what they are masked to; `more` counts as the spool
does."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hodei_worker.containers.frames import BEFORE_ALL
from hodei_worker.containers.masked_stream import MaskedStream, Restart
from hodei_worker.containers.position_file import Place, PositionFile, Record
from hodei_worker.supervisor.kept import Kept
from hodei_worker.supervisor.spool import NOTICE, STDERR, STDOUT, JobSpool


@dataclass
class Mark:
    """A place in one stream's log, behind what is kept."""

    time: bytes = BEFORE_ALL  # of a message
    under: int = 0  # bytes from the first message of that time on
    more: int = 0  # further bytes, of that message and later ones
    covered: int = 0  # of a masked log: Restart.covered
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
    kept: int = 0  # of a masked log: offset of the first byte that is needed again


class Position:
    """Kept in a file that each chunk overwrites. It is written after the spool: a process that dies
    between both has a chunk in the spool that the file does not know."""

    def __init__(
        self, path: Path, job_spool: JobSpool, kept: Kept, *, masked: bool = False
    ) -> None:
        """Reads what an earlier process has written there, if there is something, and makes the spool
        go on from it."""
        self._is_masked = masked
        self._job_spool = job_spool
        self._kept = kept
        self._streams = {STDOUT: _Stream(), STDERR: _Stream()}
        self._needed = BEFORE_ALL
        self.seen = BEFORE_ALL  # time of the last message that came, also of one that was kept
        self._file = PositionFile(path)
        self.started = False  # the container was
        if record := self._file.read():
            self._load(record)

    def _load(self, record: Record) -> None:
        self.started, self._needed = record.started, record.needed
        written = self._job_spool.written
        written.offsets, written.lines = [*record.offsets], [*record.lines]
        written.in_line = [*record.in_line]
        kept = self._kept
        kept.written, kept.bytes, kept.lost = record.written, record.kept, record.lost
        self._job_spool.go_on_from(record.next_seq)
        self._count_unknown(record.next_seq)
        for stream, place in record.places.items():
            unknown = written.offsets[stream] - record.offsets[stream]
            mark = Mark(place.time, place.under, place.more + unknown, place.covered)
            self._streams[stream].mark = mark
            kept.written += unknown

    def _count_unknown(self, seq: int) -> None:
        """Counts the chunks in the spool from `seq` on: the last one, and those of a tail."""
        for number in range(max(self._job_spool.acked, seq), self._job_spool.next_seq):
            if chunk := self._job_spool.read(number):
                self._kept.bytes += len(chunk.data) if chunk.stream != NOTICE else 0
                self._job_spool.written.count_again(
                    chunk.stream, chunk.offset, chunk.line, chunk.data
                )

    def again(self, slack: Callable[[bytes], bytes]) -> Again:
        """Returns how to continue. What was read and not kept is forgotten. `slack` makes a time a
        little earlier: the two streams may be a little out of order."""
        needed = self.seen = self._needed
        since = slack(needed) if needed != BEFORE_ALL else BEFORE_ALL
        marks = {}
        for stream, one in self._streams.items():
            one.ahead.clear()
            one.kept = 0
            one.read = 0 if self._is_masked else self._job_spool.written.offsets[stream]
            kept = one.mark
            under = kept.under if kept.time >= since else 0
            more = 0 if self._is_masked else kept.more
            marks[stream] = Mark(kept.time, under, more, seen=kept.time == BEFORE_ALL)
        return Again(since, marks)

    def restart(self, stream: int) -> Restart:
        """Returns how a masked stream goes on."""
        mark = self._streams[stream].mark
        return Restart(0, mark.covered, mark.more)

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
        mark, offsets = one.mark, self._job_spool.written.offsets
        begin = offsets[stream] - mark.under - mark.more
        self._kept.store(stream, data)
        end = offsets[stream]
        while one.ahead and one.ahead[0][1] <= end:
            mark.time, begin = one.ahead.popleft()
        mark.under, mark.more = end - begin, 0
        self.write()

    def store_masked(self, stream: int, data: bytes, masked: MaskedStream) -> None:
        """Does as `store`, for a chunk of what a stream is masked to."""
        self._kept.store(stream, data)
        masked.keep(len(data))
        self.note_restart(stream, masked.restart)
        self.write()

    def note_restart(self, stream: int, restart: Restart) -> None:
        """Notes from where on a masked stream is needed again."""
        one = self._streams[stream]
        mark, begin = one.mark, one.kept - one.mark.under
        one.kept = restart.raw
        while one.ahead and one.ahead[0][1] <= one.kept:
            mark.time, begin = one.ahead.popleft()
        mark.under, mark.covered, mark.more = one.kept - begin, restart.covered, restart.more

    def write(self) -> None:
        """Writes the position down. A full disk leaves the one before: after a crash some output
        would be kept twice."""
        written, kept = self._job_spool.written, self._kept
        self._needed = self._first_unkept() or self.seen
        marks = {stream: one.mark for stream, one in self._streams.items()}
        self._file.write(
            Record(
                started=self.started,
                next_seq=self._job_spool.next_seq,
                offsets=[*written.offsets],
                lines=[*written.lines],
                in_line=[*written.in_line],
                written=kept.written,
                kept=kept.bytes,
                lost=kept.lost,
                needed=self._needed,
                places={s: Place(m.time, m.under, m.more, m.covered) for s, m in marks.items()},
            )
        )

    def _first_unkept(self) -> bytes:
        """Returns the time of the first message that was read and is not kept whole."""
        offsets = self._job_spool.written.offsets
        times = [
            one.mark.time
            for stream, one in self._streams.items()
            if one.read > (one.kept if self._is_masked else offsets[stream])
        ]
        return min(times, default=b"")

    def close(self) -> None:
        self._file.close()


async def remove(path: Path) -> None:
    """Removes the file of a position. As a task of its own it begins when what was to be done
    before is done: the journal has the result then."""
    path.unlink(missing_ok=True)
