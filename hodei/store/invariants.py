"""Finds and mends what must hold between jobs, job_queue and leases, where a hand has broken it.

A job that waits has a queue row; a job with a lease has its row in leases, which is accepted where
the job runs; a lease has one job, and so has a queue row."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.timing import ACCEPT_WITHIN_S
from hodei.store import accepts
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.schema import MOVE_LEASES
from hodei.store.statements import brief_rows, rows

# One server at a time looks, and for a hundredth of the time at most: a look walks all of jobs.
TURN = """
UPDATE hodei_listening h
SET checked_at = clock_timestamp()
WHERE h.checked_at IS NULL
   OR h.checked_at < clock_timestamp() - make_interval(
       secs => greatest(20, 100 * least(greatest(h.check_took_s, 0), 60)))
   OR h.checked_at > clock_timestamp()
RETURNING h.checked_at
"""

TOOK = """
UPDATE hodei_listening h
SET check_took_s = least(extract(epoch FROM clock_timestamp() - h.checked_at), 60)
WHERE h.checked_at <= clock_timestamp()
"""

# A state that no statement knows, or RUNNING without a lease, can be there where a hand has dropped
# a constraint. Of jobs that name one lease it is the one's of which leases says so, else the first's.
STRAY = """
SELECT j.id,
       (j.state = 'PENDING' OR j.state = 'RUNNING' AND j.lease IS NOT NULL)
       AND NOT EXISTS (
           SELECT
           FROM leases l
           JOIN jobs o ON o.id = l.job_id AND o.lease = l.lease
           WHERE l.lease = j.lease AND l.job_id <> j.id)
       AND (j.lease IS NULL OR row_number() OVER (PARTITION BY j.lease ORDER BY j.id) = 1)
FROM jobs j
WHERE j.completed_at IS NULL
  AND j.state <> ALL ('{SUCCEEDED,FAILED,CANCELLED}')
  AND CASE WHEN j.state NOT IN ('PENDING', 'RUNNING') THEN true
           WHEN j.lease IS NULL
           THEN j.state = 'RUNNING' OR j.id NOT IN (SELECT q.job_id FROM job_queue q)
           ELSE (j.lease, j.id) NOT IN (SELECT l.lease, l.job_id FROM leases l)
                OR j.state = 'RUNNING'
                    AND j.lease IN (SELECT l.lease FROM leases l WHERE l.accepted_at IS NULL) END
LIMIT 1000
"""

# A claim takes such a row away, too, but it counts for one of the jobs that it may take: many of them
# would hold up all jobs behind.
DROP_QUEUED = """
DELETE FROM job_queue q
WHERE q.job_id = ANY (ARRAY(
    SELECT s.job_id
    FROM job_queue s
    WHERE NOT EXISTS (
        SELECT FROM jobs j WHERE j.id = s.job_id AND j.completed_at IS NULL AND j.lease IS NULL)
    LIMIT 50000
    FOR UPDATE SKIP LOCKED))
RETURNING q.job_id
"""


# No statement gives an offer more than 40 s: a hand has, and its worker may know nothing of it.
LATE_TERMS = """
UPDATE leases l
SET accept_by = clock_timestamp() + make_interval(secs => %(accept_within_s)s)
WHERE l.lease = ANY (ARRAY(
    SELECT o.lease
    FROM leases o
    WHERE o.accepted_at IS NULL
      AND o.accept_by > clock_timestamp() + interval '1 minute'
    FOR UPDATE SKIP LOCKED))
"""


class Strays(NamedTuple):
    """What a look has found."""

    jobs: list[uuid.UUID]  # that have not ended and that nothing would ever move on, 1,000 at most
    odd: list[uuid.UUID]  # likewise, in a state of no statement, or with the lease of another job
    queued: list[uuid.UUID]  # whose queue rows were without a job that waits, and are gone


async def look(conn: Connection) -> Strays:
    """Looks each 20 s among all servers (later where a look takes over 0.2 s); before that it finds
    nothing."""
    if not await brief_rows(conn, TURN, {}):
        return Strays([], [], [])
    queued = [row[0] for row in await rows(conn, DROP_QUEUED)]
    found = await rows(conn, STRAY)
    await brief_rows(conn, LATE_TERMS, {"accept_within_s": ACCEPT_WITHIN_S})
    await brief_rows(conn, TOOK, {})
    jobs = [job for job, goes_on in found if goes_on]
    odd = [job for job, goes_on in found if not goes_on]
    return Strays(jobs, odd, queued)


class Mended(NamedTuple):
    """A stray job that goes on."""

    job_id: uuid.UUID
    correlation_id: str
    queued: bool  # True: it is in the queue again; False: its lease was written anew


# In one statement, and so in one snapshot, a job that a claim or a result moves is never stray.
#
# A back-off that was under way goes on: its end stands in the job's event. It is at most 12.5
# minutes long, so that an hour of events is enough. A claim after it has ended it.
#
# A lease that is written anew has the limits that ACCEPT (accepts.py) gives, without start_by: it
# is not known whether the process runs, and its worker does not say so again. Silence counts anew,
# and so does the term of an offer.
MEND = """
WITH stray AS MATERIALIZED (
    SELECT j.id, j.lease,
           greatest(clock_timestamp(), j.updated_at + interval '1 microsecond') AS at,
           greatest(j.run_at, (
               SELECT (e.payload ->> 'not_before')::timestamptz
               FROM domain_events e
               WHERE j.lease IS NULL
                 AND e.aggregate_id = j.id::text
                 AND e.event_type IN ('JobAssigned', 'JobRetried', 'JobRequeued')
                 AND e.occurred_at > statement_timestamp() - interval '1 hour'
               ORDER BY e.occurred_at DESC
               LIMIT 1)) AS until
    FROM jobs j
    WHERE j.id = ANY (%(jobs)s::uuid[])
      AND j.completed_at IS NULL
      AND (j.state = 'PENDING'
              AND j.lease IS NULL
              AND NOT EXISTS (SELECT FROM job_queue q WHERE q.job_id = j.id)
           OR j.lease IS NOT NULL
              AND NOT EXISTS (
                  SELECT
                  FROM leases l
                  WHERE l.lease = j.lease
                    AND (l.job_id <> j.id OR l.accepted_at IS NOT NULL OR j.state = 'PENDING')))
    ORDER BY j.id
    FOR UPDATE OF j
), unleased AS (
    DELETE FROM leases l USING stray s WHERE l.job_id = s.id RETURNING l.lease
), moved AS (
    UPDATE jobs j
    SET updated_at = s.at
    FROM stray s
    WHERE j.id = s.id AND j.lease IS NULL
    RETURNING j.id, j.correlation_id, j.priority, j.spec, j.queue_timeout_ms, j.project,
              j.updated_at,
              CASE WHEN s.until > s.at THEN s.until END AS ready_at,
              CASE
                  WHEN s.until <= s.at THEN NULL
                  WHEN s.until = j.run_at THEN 'RUN_AT'
                  WHEN s.until IS NOT NULL THEN 'BACKOFF'
              END AS waiting
), queued AS (
    INSERT INTO job_queue (
        job_id, priority, enqueued_at, labels, waiting, ready_at, unseen_ms, project)
    SELECT m.id, m.priority, m.updated_at, coalesce(m.spec -> 'labels', '{}'), m.waiting,
           m.ready_at, m.queue_timeout_ms, m.project
    FROM moved m
    ON CONFLICT DO NOTHING
), leased AS (
    INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, offered_at, accept_by,
                        accepted_at, end_by, log_at, log_seq, log_bytes, silence_s)
    SELECT j.lease, j.id,
           coalesce(j.worker_id, '00000000-0000-0000-0000-000000000000'),
           j.attempts + (j.state = 'PENDING')::integer,
           j.created_at, s.at, s.at + make_interval(secs => %(accept_within_s)s), a.accepted_at,
           a.accepted_at
               + make_interval(secs => %(margin_s)s)
               + (j.timeout_ms
                  + coalesce(j.start_timeout_ms, 0)
                  + coalesce(j.grace_ms, %(grace_ms)s::bigint)) * interval '1 millisecond',
           CASE WHEN j.state = 'RUNNING' THEN s.at END,
           (SELECT coalesce(max(g.seq) + 1, 0) FROM job_logs g
            WHERE g.job_id = j.id AND g.lease = j.lease AND NOT g.late),
           (SELECT coalesce(sum(octet_length(g.data)), 0) FROM job_logs g
            WHERE g.job_id = j.id AND g.lease = j.lease AND NOT g.late AND g.stream < 3),
           j.silence_timeout_ms / 1000.0
    FROM stray s
    JOIN jobs j ON j.id = s.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN j.state = 'RUNNING' THEN coalesce(j.started_at, s.at) END AS accepted_at
    ) a
    WHERE s.lease IS NOT NULL
      AND (SELECT count(*) FROM unleased) >= 0  -- first: a job has one lease
    ON CONFLICT (lease) DO NOTHING
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT m.updated_at, 'JobRequeued', m.id::text, m.correlation_id, 'system:job_rescuer',
           jsonb_strip_nulls(jsonb_build_object(
               'job_id', m.id,
               'reason', 'it waited, and was in no queue',
               'not_before', m.ready_at))
    FROM moved m
), wake AS (
    SELECT pg_notify('hodei_work', '') FROM moved LIMIT 1
)
SELECT j.id, j.correlation_id, s.lease IS NULL, (SELECT count(*) FROM wake)
FROM stray s JOIN jobs j ON j.id = s.id
"""


async def mend(conn: Connection, jobs: Sequence[uuid.UUID]) -> list[Mended]:
    """Queues jobs again that wait without a queue row, and writes the row of a lease anew that has
    none: the worker's result then counts, or its loss is found. Returns the jobs."""
    parameters = {"jobs": array(jobs), "accept_within_s": ACCEPT_WITHIN_S, **accepts.LIMITS}
    return [Mended(*row[:3]) for row in await brief_rows(conn, MEND, parameters)]


DROP_LEASES = """
DELETE FROM leases l
WHERE l.lease = ANY (ARRAY(
    SELECT s.lease
    FROM leases s
    WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.id = s.job_id AND j.lease = s.lease)
    FOR UPDATE SKIP LOCKED))
RETURNING l.lease
"""


async def drop_leases(conn: Connection) -> list[int]:
    """Deletes leases whose job is gone or has another lease, and returns their numbers."""
    return [row[0] for row in await brief_rows(conn, DROP_LEASES, {})]


async def pass_live_leases(conn: Connection) -> None:
    """Moves the sequence of lease numbers past those that live, if it is behind them and the role has
    the right."""
    await brief_rows(conn, MOVE_LEASES, {})
