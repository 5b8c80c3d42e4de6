"""Chunks of a log without their data, from the end on: where lines are."""

import uuid
from typing import NamedTuple

from hodei.store.database import Connection
from hodei.store.job_logs import stored_from
from hodei.store.statements import rows

PAGE = 1000
"""Chunks of one page."""

END = (1 << 63) - 1, (1 << 63) - 1
"""Lease and seq behind every chunk."""


class ChunkLines(NamedTuple):
    """Which lines of its stream a chunk has."""

    lease: int
    seq: int
    stream: int
    first_line: int
    further_lines: int | None
    """Lines that begin within it. Known only of the newest chunk of its lease and stream in a page:
    for any other the next one's first line says it."""


# To count lines is to read the data, which may lie outside of the row. A chunk that a hand has made
# larger is counted up to 1 MiB, as it is read (READ in job_logs.py).
BEFORE = """
SELECT n.lease, n.seq, n.stream, n.first_line,
       CASE WHEN n.age = 1 THEN (
           SELECT length(t.text) - length(replace(t.text, chr(10), ''))
                  - (right(t.text, 1) = chr(10))::integer
           FROM (SELECT encode(substring(n.data FROM 1 FOR 1048576), 'escape') AS text) t)
       END
FROM (
    SELECT g.lease, g.seq, g.stream, g.first_line, g.data,
           row_number() OVER (PARTITION BY g.lease, g.stream ORDER BY g.seq DESC) AS age
    FROM (
        SELECT g.lease, g.seq, g.stream, g.first_line, g.data
        FROM job_logs g
        WHERE g.job_id = %(job)s::uuid
          AND (g.lease, g.seq) < (%(lease)s::bigint, %(seq)s::bigint)
          AND g.stored_at >= timestamptz 'epoch' + %(from_us)s::bigint * interval '1 microsecond'
          AND (%(attempt)s::integer = 0 OR g.attempt = %(attempt)s::integer)
        ORDER BY g.job_id DESC, g.lease DESC, g.seq DESC
        LIMIT %(page)s
    ) g
) n
ORDER BY n.lease DESC, n.seq DESC
"""


async def before(
    conn: Connection, job_id: uuid.UUID, created_at: int, attempt: int, place: tuple[int, int]
) -> list[ChunkLines]:
    """Returns the PAGE chunks before a lease and seq, newest first; only of one attempt, unless it
    is 0."""
    lease, seq = place
    parameters = {
        "job": job_id,
        "from_us": stored_from(created_at),
        "attempt": attempt,
        "lease": lease,
        "seq": seq,
        "page": PAGE,
    }
    return [ChunkLines(*row) for row in await rows(conn, BEFORE, parameters)]
