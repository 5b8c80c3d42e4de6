"""The last lines of a log, counted from its end: chunks say the number of their first line, so that
their data is read of one chunk in each attempt and stream alone."""

import uuid
from dataclasses import dataclass

from hodei.flow.log_place import ANYWHERE, Start
from hodei.store import log_heads
from hodei.store.database import Runs
from hodei.store.job_logs import NOTICE, STDERR, STDOUT
from hodei.store.log_heads import Head

MOST_PAGES = 200
"""Pages of 1,000 chunks that are looked at. Of a stream that wrote less than its lines within them
there is no more."""


@dataclass
class _Stream:
    """What is found of a stream so far, from the end on."""

    lines: int  # that are wanted of the attempt at hand and of those before it
    start: Start | None = None
    oldest_line: int = 0  # the first line of the chunk at `start`
    last_line: int = 0  # of the attempt at hand
    found: bool = False

    def take(self, head: Head) -> None:
        if self.start is None or head.lease != self.start.lease:
            if self.start:
                self.lines -= self.last_line - self.oldest_line + 1
            self.last_line = head.first_line + (head.further_lines or 0)
        line = self.last_line - self.lines + 1
        self.start = Start(head.lease, head.seq, line)
        self.oldest_line = head.first_line
        # A chunk before may have the beginning of the same line.
        self.found = head.first_line < line


async def starts(
    reads: Runs, job_id: uuid.UUID, created_at: int, lines: int, attempt: int
) -> dict[int, Start]:
    """Returns where the last lines of each stream start, over all attempts, or in one of them. Of
    Hodei's own notices those from there on are wanted."""
    streams = {STDOUT: _Stream(lines), STDERR: _Stream(lines)}
    before = log_heads.END
    for _ in range(MOST_PAGES):
        heads = await reads.run(
            lambda conn, before=before: log_heads.before(  # type: ignore[misc]
                conn, job_id, created_at, attempt, before
            )
        )
        for head in heads:
            stream = streams.get(head.stream)
            if stream and not stream.found:
                stream.take(head)
        if len(heads) < log_heads.PAGE or all(stream.found for stream in streams.values()):
            break
        before = heads[-1].lease, heads[-1].seq
    found = {number: stream.start or ANYWHERE for number, stream in streams.items()}
    written = [start for start in found.values() if start != ANYWHERE]
    return found | {NOTICE: min(written)._replace(line=0) if written else ANYWHERE}
