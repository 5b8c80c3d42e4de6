"""The queue as operators look at it: how much waits and why, and what nobody can take."""

import uuid
from typing import Any, NamedTuple

from hodei.domain.job import Waiting
from hodei.domain.state_words import counted
from hodei.store.database import Connection
from hodei.store.job_queue import HEAD
from hodei.store.statements import rows

MOST_COUNTED = 1_000_000
"""Rows of the queue that are counted; the others of a longer queue are not."""

DEPTH = """
SELECT left(q.waiting, 20),
       count(*),
       coalesce(extract(epoch FROM clock_timestamp()
           - min(q.enqueued_at) FILTER (WHERE isfinite(q.enqueued_at))), 0)::float8
FROM (SELECT j.waiting, j.enqueued_at, j.project FROM job_queue j LIMIT %(most)s) q
WHERE %(project)s::text IS NULL OR q.project = %(project)s::text
GROUP BY left(q.waiting, 20)
"""

OFFERED = """
SELECT count(*)
FROM leases l
WHERE l.accepted_at IS NULL
  AND (%(project)s::text IS NULL
       OR EXISTS (
           SELECT FROM jobs j WHERE j.id = l.job_id AND j.project = %(project)s::text))
"""


class Depth(NamedTuple):
    """The queue in numbers."""

    ready: int
    oldest_ready_s: float  # age of the oldest ready row; 0: none is ready
    waiting: dict[Waiting, int]  # rows that are not ready, by the cause; only causes that there are
    offered: int  # jobs that are out of the queue, and not accepted yet


async def depth(conn: Connection, project: str | None = None) -> Depth:
    """Returns the queue in numbers, of MOST_COUNTED rows at most; of them the jobs of one project if
    it is named."""
    found = await rows(conn, DEPTH, {"most": MOST_COUNTED, "project": project})
    ready, oldest_s = next(((n, age) for cause, n, age in found if cause is None), (0, 0.0))
    causes = [(cause, number) for cause, number, _ in found if cause is not None]
    waiting = counted(Waiting, causes)
    ((offered,),) = await rows(conn, OFFERED, {"project": project})
    return Depth(ready, oldest_s, waiting, offered)


MOST_LACKING = 20
"""Sets of labels of which a worker is told that it lacks them."""

LABELS_BYTES = 4000
"""Labels that are longer as text are shown as none: a hand has set them, or they fill a screen."""

# Labels that are no object were set by hand, and no worker has them.
LACKING = """
WITH head AS (
    SELECT q.labels, q.project
    FROM job_queue q
    WHERE q.waiting IS NULL
    ORDER BY q.priority DESC, q.enqueued_at, q.job_id
    LIMIT %(head)s
), lacking AS (
    SELECT (
        SELECT jsonb_object_agg(e.key, e.value)
        FROM jsonb_each(
            CASE WHEN jsonb_typeof(h.labels) = 'object' THEN h.labels ELSE '{}' END) e
        WHERE NOT w.labels @> jsonb_build_object(e.key, e.value)) AS labels
    FROM head h
    JOIN workers w ON w.id = %(worker)s AND NOT h.labels <@ w.labels
    WHERE (%(project)s::text IS NULL OR h.project = %(project)s::text)
      AND (w.projects = '{}' OR h.project = ANY (w.projects))
)
SELECT CASE WHEN octet_length(l.labels::text) <= %(bytes)s THEN l.labels ELSE '{}' END,
       count(*)
FROM lacking l
GROUP BY l.labels
ORDER BY count(*) DESC, l.labels
LIMIT %(most)s
"""


class Lacking(NamedTuple):
    """Labels that ready jobs require and a worker does not have."""

    labels: dict[str, Any]
    jobs: int


async def lacking(
    conn: Connection, worker_id: uuid.UUID, project: str | None = None
) -> list[Lacking]:
    """Returns which labels of the first HEAD ready jobs a worker lacks: those of most jobs first,
    MOST_LACKING sets at most. Of these jobs, those of projects that the worker takes, and of one
    project if it is named."""
    parameters = {
        "worker": worker_id,
        "project": project,
        "head": HEAD,
        "bytes": LABELS_BYTES,
        "most": MOST_LACKING,
    }
    return [Lacking(*row) for row in await rows(conn, LACKING, parameters)]


READY_HEAD = 100_000
"""Ready jobs, in the order of claims, that are asked whether any worker fits. With 1,000 workers of
different labels and 1,000,000 rows in the queue that takes 0.35 s."""

MOST_SETS = 300
"""Sets of labels among these that are compared with the fleet, those of most jobs first. The jobs of
the others are not examined."""

MOST_UNSERVABLE = 10
"""Sets of labels that are listed."""

UNSERVABLE = """
WITH head AS (
    SELECT q.labels, q.project, q.enqueued_at
    FROM job_queue q
    WHERE q.waiting IS NULL
    ORDER BY q.priority DESC, q.enqueued_at, q.job_id
    LIMIT %(head)s
), required AS MATERIALIZED (
    SELECT h.labels, h.project, count(*) AS jobs,
           coalesce(min(h.enqueued_at) FILTER (WHERE isfinite(h.enqueued_at)), clock_timestamp())
               AS oldest
    FROM head h
    WHERE %(project)s::text IS NULL OR h.project = %(project)s::text
    GROUP BY h.labels, h.project
    ORDER BY count(*) DESC
    LIMIT %(sets)s
), fleet AS MATERIALIZED (
    SELECT w.labels, w.projects, bool_or(w.state <> 'DRAINING') AS takes,
           NOT w.labels ? 'hodei/containers-only' AS processes
    FROM workers w
    WHERE w.state IN ('READY', 'BUSY', 'DRAINING')
    GROUP BY w.labels, w.projects
), fitting AS MATERIALIZED (
    SELECT r.labels, r.project, bool_or(f.takes) AS takes
    FROM required r
    JOIN fleet f
      ON r.labels <@ f.labels
     AND (f.processes OR r.labels ? 'hodei/executor')
     AND (f.projects = '{}' OR r.project = ANY (f.projects))
    GROUP BY r.labels, r.project
), unservable AS MATERIALIZED (
    SELECT r.labels, r.jobs, r.oldest, f.labels IS NOT NULL AS draining
    FROM required r
    LEFT JOIN fitting f ON f.labels = r.labels AND f.project = r.project
    WHERE f.takes IS NOT TRUE
), first AS (
    SELECT u.labels, sum(u.jobs)::bigint AS jobs, min(u.oldest) AS oldest,
           bool_or(u.draining) AS draining
    FROM unservable u
    GROUP BY u.labels
    ORDER BY sum(u.jobs) DESC, min(u.oldest)
    LIMIT %(most)s
)
SELECT (SELECT coalesce(sum(r.jobs), 0)::bigint FROM required r),
       (SELECT coalesce(sum(u.jobs), 0)::bigint FROM unservable u),
       (SELECT extract(epoch FROM clock_timestamp() - min(r.oldest))::float8
        FROM required r
        JOIN fitting f ON f.labels = r.labels AND f.project = r.project AND f.takes),
       CASE WHEN octet_length(f.labels::text) <= %(bytes)s THEN f.labels ELSE '{}' END,
       f.jobs,
       extract(epoch FROM clock_timestamp() - f.oldest)::float8,
       f.draining
FROM (VALUES (1)) always
LEFT JOIN first f ON true
ORDER BY f.jobs DESC, f.oldest
"""


class UnservableSet(NamedTuple):
    """Ready jobs that require the same labels, and that no connected worker can take."""

    labels: Any  # an object, unless a hand has set them
    jobs: int
    oldest_s: float
    draining: bool  # a worker that is draining has these labels


class Unservable(NamedTuple):
    """Ready jobs that no connected worker can take."""

    looked_at: int
    jobs: int  # of these
    oldest_servable_s: float | None  # age of the oldest of the others; None: there are none
    sets: list[UnservableSet]  # those with most jobs


async def unservable(conn: Connection, project: str | None = None) -> Unservable:
    """Returns which of the first READY_HEAD ready jobs no connected worker can take, because none
    has the labels and takes jobs of the project, or those that do are draining; of these jobs those
    of one project if it is named. Of many sets of labels only MOST_SETS are looked at."""
    parameters = {
        "project": project,
        "head": READY_HEAD,
        "sets": MOST_SETS,
        "most": MOST_UNSERVABLE,
        "bytes": LABELS_BYTES,
    }
    found = await rows(conn, UNSERVABLE, parameters)
    sets = [UnservableSet(*row[3:]) for row in found if row[4] is not None]
    looked_at, jobs, oldest_servable_s = found[0][:3]
    return Unservable(looked_at, jobs, oldest_servable_s, sets)
