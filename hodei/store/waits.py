"""What is asked about jobs that wait: their situation, and how many jobs are before one."""

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from hodei.domain.job import JobState
from hodei.domain.state_words import state_of
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import guarded_rows, rows


class WaitingJob(NamedTuple):
    """A job that may wait (flow/waiting.py puts it into words)."""

    state: JobState
    worker_id: uuid.UUID | None  # of its last claim
    queued: bool
    waiting: str | None
    ready_at: int | None  # microseconds since 1970
    required: Any  # labels, unless a hand has set something else
    accept_by: int | None  # of an offer; microseconds since 1970
    project: str


SITUATIONS = """
SELECT j.id, j.state, j.worker_id, q.job_id IS NOT NULL, q.waiting, q.ready_at,
       CASE WHEN octet_length(q.labels::text) <= 40000 THEN q.labels ELSE '[]' END,
       CASE WHEN l.accepted_at IS NULL THEN l.accept_by END,
       left(j.project, 200)
FROM jobs j
LEFT JOIN job_queue q ON q.job_id = j.id
LEFT JOIN leases l ON l.job_id = j.id
WHERE j.id = ANY (%(jobs)s::uuid[])
"""


async def situations(conn: Connection, job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, WaitingJob]:
    """Returns what these jobs wait for. A job that is not in the answer is unknown or deleted."""
    found = await rows(conn, SITUATIONS, {"jobs": array(job_ids)})
    return {row[0]: WaitingJob(state_of(JobState, row[1]), *row[2:]) for row in found}


MOST_BEFORE = 1000
"""Rows of the queue before a job that are looked at."""


class Before(NamedTuple):
    """Jobs before a job in the order of claims, which the same workers could take."""

    jobs: int
    more: bool  # further ones were not looked at


# Two ranges of the index by which claims are ordered, from the head: rows of a higher priority, and
# older rows of the same. Nothing behind the job itself is read.
BEFORE = """
WITH mine AS MATERIALIZED (
    SELECT q.priority, q.enqueued_at, q.job_id
    FROM job_queue q
    WHERE q.job_id = %(job)s::uuid
      AND q.waiting IS NULL
)
SELECT count(b.labels) FILTER (
           WHERE (cardinality(%(projects)s::text[]) = 0 OR b.project = ANY (%(projects)s::text[]))
             AND (cardinality(%(sets)s::jsonb[]) = 0
                  OR EXISTS (
                      SELECT FROM unnest(%(sets)s::jsonb[]) AS w (labels)
                      WHERE b.labels <@ w.labels
                        AND (b.labels ? 'hodei/executor'
                             OR NOT w.labels ? 'hodei/containers-only')))),
       count(b.labels) > %(most)s
FROM mine
LEFT JOIN LATERAL (
    SELECT h.labels, h.project
    FROM (
        (SELECT q.labels, q.project
         FROM job_queue q
         WHERE q.waiting IS NULL
           AND q.priority > (SELECT m.priority FROM mine m)
         ORDER BY q.priority DESC, q.enqueued_at, q.job_id
         LIMIT %(most)s + 1)
        UNION ALL
        (SELECT q.labels, q.project
         FROM job_queue q
         WHERE q.waiting IS NULL
           AND q.priority = (SELECT m.priority FROM mine m)
           AND (q.enqueued_at, q.job_id) < (
               (SELECT m.enqueued_at FROM mine m), (SELECT m.job_id FROM mine m))
         ORDER BY q.priority DESC, q.enqueued_at, q.job_id
         LIMIT %(most)s + 1)
    ) h
    LIMIT %(most)s + 1
) b ON true
GROUP BY mine.job_id
"""


async def before(
    conn: Connection, job_id: uuid.UUID, sets: Sequence[str], projects: Sequence[str] = ()
) -> Before | None:
    """Returns how many jobs are before this one that workers with one of these sets of labels (as
    JSON) could take; no set: all of them. `projects`: only jobs of these; none: of all. None: it is
    not ready in the queue."""
    parameters = {
        "job": job_id,
        "sets": array(sets),
        "projects": array(projects),
        "most": MOST_BEFORE,
    }
    (found,) = await guarded_rows(conn, (BEFORE, parameters))
    return Before(min(found[0][0], MOST_BEFORE), found[0][1]) if found else None
