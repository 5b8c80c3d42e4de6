"""The last lines of a log, counted from its end. Each chunk has the number of its first line: of a
page only the data of the newest chunk of each attempt and stream is read."""

import uuid
from dataclasses import dataclass

from hodei.flow.log_place import ANYWHERE, Start
from hodei.store import log_lines
from hodei.store.database import Runs
from hodei.store.job_logs import NOTICE, STDERR, STDOUT
from hodei.store.log_lines import ChunkLines

MOST_PAGES = 200
"""Pages of 1,000 chunks that are searched. Where a stream has fewer lines in them than are wanted,
only these are found: a large log is not searched as a whole."""


@dataclass
class _Stream:
    """What is found of a stream so far, from the end on."""

    lines: int  # that are wanted of the attempt at hand and of those before it
    start: Start | None = None
    oldest_line: int = 0  # the first line of the chunk at `start`
    last_line: int = 0  # of the attempt at hand
    found: bool = False

    def count(self, chunk: ChunkLines) -> None:
        """Counts the lines of the chunk before the last one that was counted."""
        if self.start is None or chunk.lease != self.start.lease:
            if self.start:
                self.lines -= self.last_line - self.oldest_line + 1
            self.last_line = chunk.first_line + (chunk.further_lines or 0)
        line = self.last_line - self.lines + 1
        self.start = Start(chunk.lease, chunk.seq, line)
        self.oldest_line = chunk.first_line
        # A chunk before may have the beginning of the same line.
        self.found = chunk.first_line < line


async def starts_of(
    reads: Runs, job_id: uuid.UUID, created_at: int, lines: int, attempt: int
) -> dict[int, Start]:
    """Returns where the last lines of each stream start, over all attempts, or in one of them. Of
    Hodei's own notices those from there on are wanted."""
    streams = {STDOUT: _Stream(lines), STDERR: _Stream(lines)}
    before = log_lines.END
    for _ in range(MOST_PAGES):
        chunks = await reads.run(
            lambda conn, before=before: log_lines.before(  # type: ignore[misc]
                conn, job_id, created_at, attempt, before
            )
        )
        for chunk in chunks:
            stream = streams.get(chunk.stream)
            if stream and not stream.found:
                stream.count(chunk)
        if len(chunks) < log_lines.PAGE or all(stream.found for stream in streams.values()):
            nothing_before = ANYWHERE
            break
        before = chunks[-1].lease, chunks[-1].seq
    else:
        nothing_before = Start(*before, line=0)
    found = [stream.start for stream in streams.values() if stream.start]
    notices = min(found)._replace(line=0) if found else nothing_before
    starts = {number: stream.start or nothing_before for number, stream in streams.items()}
    return starts | {NOTICE: notices}
