"""Jobs as people and programs read them: one, a list, counts."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from hodei.domain.job import CancelPhase, JobState
from hodei.domain.state_words import counted, state_of
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import replanned_rows, rows

OF_PROJECT = """
SELECT j.id
FROM jobs j
WHERE j.id = ANY (%(jobs)s::uuid[])
  AND (%(project)s::text IS NULL OR j.project = %(project)s::text)
"""


async def of_project(
    conn: Connection, ids: Sequence[uuid.UUID], project: str | None
) -> set[uuid.UUID]:
    """Returns those of the jobs that there are, of this project if one is named. What it says
    holds: a job's project never changes."""
    parameters = {"jobs": array(ids), "project": project}
    return {row[0] for row in await rows(conn, OF_PROJECT, parameters)}


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs` as the API shows it, in the order of NAMED, the spec and JOB_COLUMNS. Times
    are microseconds since 1970 (store/times.py), and None where they have not come yet. `reason`
    and `waiting` are text of the row: of the lists in hodei/domain/job.py, unless a hand has set
    them."""

    id: uuid.UUID
    name: str
    state: JobState
    reason: str | None
    message: str | None
    spec: str
    attempts: int
    priority: int
    correlation_id: str
    actor: str
    project: str
    worker_id: uuid.UUID | None
    worker_name: str | None
    exit_code: int | None
    signal: int | None
    peak_memory_bytes: int | None
    cpu_us: int | None
    log_bytes: int
    log_dropped_bytes: int
    logs_complete: bool | None
    leftover_processes: int | None
    leftover_unknown: int | None
    created_at: int
    updated_at: int
    started_at: int | None
    completed_at: int | None
    run_at: int | None
    cancel_requested: bool
    retry_of: uuid.UUID | None
    queued: bool
    waiting: str | None
    ready_at: int | None
    required: dict[str, str] | None
    accept_by: int | None
    cancel: CancelPhase


def _job(row: Sequence[Any]) -> Job:
    fields = [*row]
    fields[2], fields[-1] = state_of(JobState, row[2]), CancelPhase(row[-1])
    return Job(*fields)


# The queue row and the offer tell why a PENDING job waits (flow/waiting.py puts it into words).
# Text that a hand has made longer than an API would take is cut.
JOB_COLUMNS: LiteralString = """
       j.attempts,
       j.priority,
       left(j.correlation_id, 200),
       left(j.actor, 500),
       left(j.project, 200),
       j.worker_id,
       left(w.name, 200),
       j.exit_code,
       j.signal,
       j.peak_memory_bytes,
       j.cpu_us,
       j.log_bytes,
       j.log_dropped_bytes,
       j.logs_complete,
       j.leftover_processes,
       j.leftover_unknown,
       j.created_at,
       j.updated_at,
       j.started_at,
       j.completed_at,
       j.run_at,
       j.cancel_requested_at IS NOT NULL,
       j.retry_of,
       q.job_id IS NOT NULL,
       left(q.waiting, 20),
       q.ready_at,
       CASE WHEN octet_length(q.labels::text) <= 20000 THEN q.labels END,
       CASE WHEN l.accepted_at IS NULL THEN l.accept_by END,
       CASE
           WHEN j.completed_at IS NOT NULL OR j.cancel_requested_at IS NULL THEN ''
           WHEN l.stopping_at IS NOT NULL THEN 'stopping'
           WHEN l.cancel_delivered_at IS NOT NULL THEN 'delivered'
           ELSE 'requested'
       END
FROM jobs j
LEFT JOIN job_queue q ON q.job_id = j.id
LEFT JOIN leases l ON l.job_id = j.id
LEFT JOIN workers w ON w.id = j.worker_id
"""

NAMED: LiteralString = """
SELECT j.id, left(j.name, 200), left(j.state, 20), left(j.reason, 50), left(j.message, 2000), """

SPEC: LiteralString = """
       CASE
           WHEN octet_length(j.spec::text) <= 2400000 THEN j.spec::text
           ELSE jsonb_build_object('left_out_bytes', octet_length(j.spec::text))::text
       END,"""
"""A spec that a hand has made larger than any of ours is replaced by its size: a message must hold
it."""

GET = NAMED + SPEC + JOB_COLUMNS + "WHERE j.id = %(job)s::uuid\n"


async def get(conn: Connection, job_id: uuid.UUID) -> Job | None:
    found = await rows(conn, GET, {"job": job_id})
    return _job(found[0]) if found else None


# Each is found by its key. Specs are not read: each may be a quarter of a megabyte.
OF_IDS = NAMED + "'{}'," + JOB_COLUMNS + "WHERE j.id = ANY (%(jobs)s::uuid[])\n"


async def of_ids(conn: Connection, ids: Sequence[uuid.UUID]) -> list[Job]:
    """Returns those of the jobs that there are, in the order of `ids`; their spec is {}."""
    found = {row[0]: _job(row) for row in await rows(conn, OF_IDS, {"jobs": array(ids)})}
    return [found[job] for job in ids if job in found]


# Final states are counted among the newest 1,000,000 jobs: nobody needs the exact count of an
# archive at three in the morning.
COUNT = """
SELECT state, count(*)
FROM (
    SELECT left(j.state, 20) AS state
    FROM jobs j
    WHERE %(project)s::text IS NULL OR j.project = %(project)s::text
    ORDER BY j.created_at DESC
    LIMIT 1000000
) newest
GROUP BY state
"""


async def count(conn: Connection, project: str | None = None) -> dict[JobState, int]:
    """Returns the number of jobs in each state, of the newest 1,000,000, or of those of a
    project."""
    found = await replanned_rows(conn, COUNT, {"project": project})
    return counted(JobState, found)
