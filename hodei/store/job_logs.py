"""What jobs wrote, in chunks under their lease. The cursor on the leases row keeps a chunk from
being stored twice: it moves in the statement that inserts (docs/architecture.md, rule 5)."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.job import JobState
from hodei.domain.state_words import state_of
from hodei.store.database import Connection
from hodei.store.leases import Claimant
from hodei.store.parameters import Blobs, array, arrays
from hodei.store.statements import execute, guarded_rows, rows


class Chunk(NamedTuple):
    """A piece of one stream of a job. The fields are the columns of APPEND's `said`, in this order.
    Within a batch, chunks of one lease are in order and without gaps."""

    lease: int
    worker_id: uuid.UUID
    seq: int
    stream: int
    byte_offset: int
    first_line: int
    read_us: int  # microseconds since 1970
    data: bytes


# Where the chunks of a lease begin beyond its cursor, or the cursor is beyond 2^62, a hand may have
# set it: what is stored tells where the log goes on. Where they begin beyond that, too, there is a
# gap: none of them is stored, and the answer says where to go on. Where they end before the cursor
# none is stored either: they were sent again, or a hand has set it (log_cursors.py).
APPEND = """
WITH said AS MATERIALIZED (
    SELECT *
    FROM unnest(
        %(lease)s::bigint[],
        %(worker_id)s::uuid[],
        %(seq)s::bigint[],
        %(stream)s::smallint[],
        %(byte_offset)s::bigint[],
        %(first_line)s::bigint[],
        %(read_us)s::bigint[],
        %(data)s::bytea[]
    ) AS s (lease, worker_id, seq, stream, byte_offset, first_line, read_us, data)
), spans AS (
    SELECT s.lease, s.worker_id, min(s.seq) AS first_seq, max(s.seq) + 1 AS next_seq
    FROM said s
    GROUP BY s.lease, s.worker_id
), cursors AS MATERIALIZED (
    SELECT l.lease, l.worker_id, l.job_id, l.attempt, p.first_seq, p.next_seq,
           CASE
               WHEN l.log_seq BETWEEN p.first_seq AND 4611686018427387904 THEN l.log_seq
               ELSE (
                   SELECT coalesce(max(g.seq) + 1, 0)
                   FROM job_logs g
                   WHERE g.job_id = l.job_id
                     AND g.lease = l.lease
                     AND NOT g.late
                     AND g.seq BETWEEN 0 AND 4611686018427387903)
           END AS log_seq
    FROM leases l
    JOIN spans p ON p.lease = l.lease AND p.worker_id IS NOT DISTINCT FROM l.worker_id
    WHERE l.lease = ANY (%(lease)s::bigint[])
    ORDER BY l.lease
    FOR UPDATE OF l
), stored AS (
    INSERT INTO job_logs (
        job_id, lease, seq, attempt, stream, byte_offset, first_line, read_at, data)
    SELECT c.job_id, s.lease, s.seq, c.attempt, s.stream, s.byte_offset, s.first_line,
           timestamptz 'epoch' + s.read_us * interval '1 microsecond', s.data
    FROM said s
    JOIN cursors c ON c.lease = s.lease AND c.worker_id = s.worker_id
    WHERE c.first_seq <= c.log_seq
      AND s.seq >= c.log_seq
), sizes AS (
    SELECT c.lease, c.next_seq,
           sum(octet_length(s.data)) FILTER (WHERE s.stream < 3) AS bytes
    FROM said s
    JOIN cursors c ON c.lease = s.lease AND c.worker_id = s.worker_id
    WHERE c.first_seq <= c.log_seq
      AND s.seq >= c.log_seq
    GROUP BY c.lease, c.next_seq
), moved AS (
    UPDATE leases l
    SET log_seq = z.next_seq,
        log_at = clock_timestamp(),
        log_bytes = l.log_bytes + coalesce(z.bytes, 0)
    FROM sizes z
    WHERE l.lease = z.lease
      AND l.lease = ANY (ARRAY(SELECT z.lease FROM sizes z))
)
SELECT c.lease, c.worker_id,
       CASE
           WHEN c.first_seq <= c.log_seq THEN greatest(c.log_seq, c.next_seq)
           ELSE c.log_seq
       END,
       c.job_id
FROM cursors c
"""


class Stored(NamedTuple):
    """How far the log of a lease that holds has come."""

    next_seq: int
    job_id: uuid.UUID


async def append(conn: Connection, chunks: Sequence[Chunk]) -> dict[Claimant, Stored]:
    """Stores chunks, and returns for each lease that holds how far its log has come. A lease that
    is not in the answer is stale, or not this worker's."""
    (found,) = await guarded_rows(conn, (APPEND, _parameters(chunks)))
    return {Claimant(row[0], row[1]): Stored(row[2], row[3]) for row in found}


def _parameters(chunks: Sequence[Chunk]) -> dict[str, object]:
    return arrays(Chunk._fields[:-1], [chunk[:-1] for chunk in chunks]) | {
        "data": Blobs(chunk.data for chunk in chunks)
    }


# A chunk of a lease that no longer holds is kept under its own attempt and marked, if the lease was
# ever this worker's for this job. A chunk that is sent again is found by its key.
APPEND_LATE = """
WITH said AS MATERIALIZED (
    SELECT *
    FROM unnest(
        %(lease)s::bigint[],
        %(worker_id)s::uuid[],
        %(seq)s::bigint[],
        %(stream)s::smallint[],
        %(byte_offset)s::bigint[],
        %(first_line)s::bigint[],
        %(read_us)s::bigint[],
        %(data)s::bytea[]
    ) AS s (lease, worker_id, seq, stream, byte_offset, first_line, read_us, data)
), assigned AS MATERIALIZED (
    SELECT DISTINCT s.lease, s.worker_id, (a.payload -> 'attempt')::integer AS attempt
    FROM said s
    JOIN domain_events a
      ON a.aggregate_id = %(job)s::uuid::text
     AND a.event_type = 'JobAssigned'
     AND a.worker_id = s.worker_id
     AND a.payload ->> 'lease' = s.lease::text
     AND jsonb_typeof(a.payload -> 'attempt') = 'number'
)
INSERT INTO job_logs (
    job_id, lease, seq, attempt, stream, byte_offset, first_line, read_at, data, late)
SELECT %(job)s::uuid, s.lease, s.seq, a.attempt, s.stream, s.byte_offset, s.first_line,
       timestamptz 'epoch' + s.read_us * interval '1 microsecond', s.data, true
FROM said s
JOIN assigned a ON a.lease = s.lease AND a.worker_id = s.worker_id
WHERE EXISTS (
    SELECT
    FROM jobs j
    WHERE j.id = %(job)s::uuid
      AND j.lease IS DISTINCT FROM s.lease)
  AND NOT EXISTS (
    SELECT
    FROM job_logs g
    WHERE g.job_id = %(job)s::uuid
      AND g.lease = s.lease
      AND g.seq = s.seq)
"""


async def append_late(conn: Connection, job_id: uuid.UUID, chunks: Sequence[Chunk]) -> None:
    """Keeps late chunks for the record. Chunks of a job that is gone are dropped."""
    await execute(conn, APPEND_LATE, _parameters(chunks) | {"job": job_id})


STDOUT, STDERR, NOTICE = 1, 2, 3
"""The numbers of streams in job_logs."""


class StoredChunk(NamedTuple):
    """A row of job_logs."""

    lease: int
    seq: int
    attempt: int
    stream: int
    byte_offset: int
    first_line: int
    read_at: int  # microseconds since 1970
    data: bytes
    late: bool


A_DAY_US = 86_400_000_000
"""A day in microseconds."""

LAST_FROM_US = 1 << 52
"""A time of the year 2112, in microseconds since 1970: a later creation was set by hand."""


def stored_from(created_at: int) -> int:
    """The time, in microseconds since 1970, from when a job's chunks may be stored: days before are
    not read."""
    return min(max(created_at, 0), LAST_FROM_US) - A_DAY_US


# A page has 500 chunks at most that begin within its bytes; the last one may end 64 KiB beyond. A
# chunk that a hand has made larger is cut at 1 MiB: a message must hold it. Each stream may start
# at a place of its own (flow/last_lines.py).
READ = """
SELECT p.lease, p.seq, p.attempt, p.stream, p.byte_offset, p.first_line, p.read_at,
       substring(p.data FROM 1 FOR 1048576), p.late
FROM (
    SELECT g.lease, g.seq, g.attempt, g.stream, g.byte_offset, g.first_line, g.read_at, g.data,
           g.late,
           sum(octet_length(g.data)) OVER (ORDER BY g.lease, g.seq)
               - octet_length(g.data) AS bytes_before
    FROM (
        SELECT g.lease, g.seq, g.attempt, g.stream, g.byte_offset, g.first_line, g.read_at, g.data,
               g.late
        FROM job_logs g
        WHERE g.job_id = %(job)s::uuid
          AND (g.lease, g.seq) > (%(lease)s::bigint, %(seq)s::bigint)
          AND g.stored_at >= timestamptz 'epoch' + %(from_us)s::bigint * interval '1 microsecond'
          AND (%(attempt)s::integer = 0 OR g.attempt = %(attempt)s::integer)
          AND (%(since_us)s::bigint = 0
               OR g.read_at >= timestamptz 'epoch'
                      + %(since_us)s::bigint * interval '1 microsecond')
          AND (g.lease, g.seq) >= ((%(start_leases)s::bigint[])[g.stream],
                                   (%(start_seqs)s::bigint[])[g.stream])
        ORDER BY g.job_id, g.lease, g.seq
        LIMIT 500
    ) g
) p
WHERE p.bytes_before < %(page_bytes)s::bigint
ORDER BY p.lease, p.seq
"""


class Part(NamedTuple):
    """Which chunks of a job's log are wanted."""

    after: tuple[int, int]  # lease and seq; (0, -1) is before everything
    attempt: int  # only of this one; 0: of all
    since_us: int  # only what was read from then on, in microseconds since 1970; 0: all
    starts: Sequence[tuple[int, int]]  # of each stream only from this lease and seq on


async def read(
    conn: Connection, job_id: uuid.UUID, created_at: int, part: Part, page_bytes: int
) -> list[StoredChunk]:
    """Returns the first page of a part of a log. Of what was read since a time, days that ended a
    day before it are not looked at: a worker's clock may be so far ahead."""
    parameters = {
        "job": job_id,
        "from_us": max(stored_from(created_at), part.since_us - A_DAY_US),
        "lease": part.after[0],
        "seq": part.after[1],
        "attempt": part.attempt,
        "since_us": part.since_us,
        "start_leases": array([lease for lease, _ in part.starts]),
        "start_seqs": array([seq for _, seq in part.starts]),
        "page_bytes": page_bytes,
    }
    return [StoredChunk(*row) for row in await rows(conn, READ, parameters)]


class Progress(NamedTuple):
    """How far a job and its log have come. While this is the same there is nothing new to read."""

    state: JobState
    lease: int | None
    log_seq: int | None
    created_at: int  # microseconds since 1970
    attempts: int  # accepted ones


PROGRESS = """
SELECT j.id, j.state, j.lease,
       (SELECT l.log_seq FROM leases l WHERE l.lease = j.lease),
       j.created_at, j.attempts
FROM jobs j
WHERE j.id = ANY (%(jobs)s::uuid[])
  AND (%(project)s::text IS NULL OR j.project = %(project)s::text)
"""


async def progress(
    conn: Connection, job_ids: Sequence[uuid.UUID], project: str | None = None
) -> dict[uuid.UUID, Progress]:
    """Returns how far these jobs have come. A job that is not in the answer is unknown or deleted,
    or of another project than the one that is named."""
    found = await rows(conn, PROGRESS, {"jobs": array(job_ids), "project": project})
    return {job: Progress(state_of(JobState, state), *rest) for job, state, *rest in found}
