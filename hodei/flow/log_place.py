"""Where a reader of a log stands, and which part of the log it wants."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from hodei.domain.errors import Invalid
from hodei.store.job_logs import StoredChunk

MOST_LINES = 1_000_000
"""Lines of each stream that a caller may ask for from the end of a log."""


class WantedLog(NamedTuple):
    """What a caller asks of a log."""

    cursor: str = ""  # of an earlier answer; empty: from the beginning
    follow: bool = False
    attempt: int = 0  # only of this attempt; 0: of all
    last_lines: int | None = None  # of each stream only this number of the last lines
    since: int = 0  # only what was read from then on, in microseconds since 1970
    tell_waiting: bool = False  # why the job does not run, while it is PENDING


class Start(NamedTuple):
    """Where the wanted part of a stream begins: in this chunk, with this line."""

    lease: int
    seq: int
    line: int


ANYWHERE = Start(0, -1, 0)
"""The start of a stream of which all is wanted."""


@dataclass
class Place:
    """A reader's place: the last chunk that it has read, and the starts of streams that it has not
    passed yet. (0, -1) is before everything."""

    lease: int = 0
    seq: int = -1
    starts: dict[int, Start] = field(default_factory=dict)  # by stream

    @property
    def cursor(self) -> str:
        """The place as a text: `lease.seq`, and `:stream.lease.seq.line` for each start."""
        starts = (f":{stream}.{'.'.join(map(str, start))}" for stream, start in self.starts.items())
        return f"{self.lease}.{self.seq}{''.join(starts)}"

    def advance(self, chunks: Iterable[StoredChunk]) -> list[StoredChunk]:
        """Moves behind these chunks, and returns what is wanted of them: a chunk in which a stream
        starts without the lines before."""
        wanted = []
        for chunk in chunks:
            self.lease, self.seq = chunk.lease, chunk.seq
            start = self.starts.get(chunk.stream, ANYWHERE)
            if (chunk.lease, chunk.seq) > start[:2]:
                wanted.append(chunk)
            elif (chunk.lease, chunk.seq) == start[:2] and (rest := from_line(chunk, start.line)):
                wanted.append(rest)
        passed = [s for s, start in self.starts.items() if start[:2] <= (self.lease, self.seq)]
        for stream in passed:
            del self.starts[stream]
        return wanted


def from_line(chunk: StoredChunk, line: int) -> StoredChunk | None:
    """A chunk without the lines before `line`; None if nothing is left of it."""
    cut = 0
    for _ in range(line - chunk.first_line):
        cut = chunk.data.find(b"\n", cut) + 1
        if not cut:
            return None
    if cut == len(chunk.data):
        return None
    return chunk._replace(
        byte_offset=chunk.byte_offset + cut,
        first_line=max(line, chunk.first_line),
        data=chunk.data[cut:],
    )


def parse_cursor(cursor: str) -> Place:
    """The place that a cursor names; for an empty text, before everything. Invalid: the text is no
    cursor."""
    if not cursor:
        return Place()
    place, *starts = cursor[:500].split(":")
    try:
        lease, seq = _numbers(place, 2)
        found = [_numbers(start, 4) for start in starts]
    except ValueError:
        raise Invalid(
            f"cursor: expected the cursor of an earlier answer, got {cursor[:80]!r}"
        ) from None
    return Place(lease, seq, {stream: Start(*rest) for stream, *rest in found})


def _numbers(text: str, count: int) -> list[int]:
    """Reads `count` numbers with dots between them. ValueError: the text is something else, or a
    number is below -1 or more than PostgreSQL's bigint can hold."""
    numbers = [int(part[:20]) for part in text.split(".")]
    if len(numbers) != count or not all(-1 <= n < 1 << 63 for n in numbers):
        raise ValueError(text)
    return numbers
