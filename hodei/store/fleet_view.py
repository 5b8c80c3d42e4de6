"""The fleet as operators look at it: which worker is meant, what it has, and the whole in numbers."""

import uuid
from typing import NamedTuple

from hodei.domain.state_words import counted, state_of
from hodei.domain.worker import WorkerState
from hodei.store.database import Connection
from hodei.store.statements import rows

MOST_NAMED = 10
"""Workers that are listed when a name or a part of an id fits several."""

# The dashes of an id do not count: what was copied from a table may begin or end at any of them.
NAMED = """
SELECT w.id, left(w.name, 200), left(w.state, 20)
FROM workers w
WHERE w.name = %(name)s
   OR (%(first)s AND starts_with(replace(w.id::text, '-', ''), %(part)s))
   OR (%(last)s AND right(replace(w.id::text, '-', ''), length(%(part)s)) = %(part)s)
ORDER BY w.state = 'TERMINATED', w.created_at DESC, w.id DESC
LIMIT %(most)s
"""


class Named(NamedTuple):
    """A worker that a name or a part of an id may mean."""

    worker_id: uuid.UUID
    name: str
    state: WorkerState


async def named(conn: Connection, name: str, part: str, *, first: bool, last: bool) -> list[Named]:
    """Returns the workers of this name, and those whose id begins (`first`) or ends (`last`) with
    `part`, hexadecimal digits without dashes: live ones before TERMINATED ones, then the newest,
    one more than MOST_NAMED at most."""
    parameters = {
        "name": name,
        "part": part,
        "first": first,
        "last": last,
        "most": MOST_NAMED + 1,
    }
    found = await rows(conn, NAMED, parameters)
    return [Named(worker_id, name, state_of(WorkerState, word)) for worker_id, name, word in found]


MOST_JOBS = 200
"""Jobs of a worker that are listed."""

JOBS = """
SELECT l.job_id,
       left(j.name, 200),
       left(j.state, 20),
       coalesce(l.accepted_at, l.offered_at),
       count(*) OVER ()
FROM leases l
JOIN jobs j ON j.id = l.job_id
WHERE l.worker_id = %(worker)s
  AND (%(project)s::text IS NULL OR j.project = %(project)s::text)
ORDER BY l.accepted_at IS NULL, l.accepted_at, l.lease
LIMIT %(most)s
"""

ALL_JOBS = "SELECT count(*) FROM leases l WHERE l.worker_id = %(worker)s"


class Held(NamedTuple):
    """A job that a worker has."""

    job_id: uuid.UUID
    name: str
    state: str
    since: int  # of the accept, or of the offer, in microseconds since 1970


class AllHeld(NamedTuple):
    """The jobs that a worker has."""

    first: list[Held]
    in_all: int  # without those of other projects
    others: int  # jobs of other projects than the one that was named


async def jobs_of(conn: Connection, worker_id: uuid.UUID, project: str | None = None) -> AllHeld:
    """Returns the jobs that a worker has, running ones first, the oldest of them first; MOST_JOBS at
    most. If a project is named, jobs of others are only counted."""
    parameters = {"worker": worker_id, "most": MOST_JOBS, "project": project}
    found = await rows(conn, JOBS, parameters)
    in_all = found[0][4] if found else 0
    others = 0
    if project is not None:
        ((count,),) = await rows(conn, ALL_JOBS, {"worker": worker_id})
        others = max(0, count - in_all)
    return AllHeld([Held(*row[:4]) for row in found], in_all, others)


# Only workers that may have jobs now are counted.
AS_ROOT = """
SELECT count(*), (array_agg(left(w.name, 200) ORDER BY w.name, w.id))[:10]
FROM workers w
WHERE w.job_user = 'root'
  AND w.state IN ('READY', 'BUSY', 'DRAINING', 'UNREACHABLE')
"""


class AsRoot(NamedTuple):
    """The workers that run their jobs as root."""

    number: int
    names: list[str]  # of the first ten


async def as_root(conn: Connection) -> AsRoot:
    """Returns how many workers run their jobs as root, and the names of the first ten."""
    ((number, names),) = await rows(conn, AS_ROOT)
    return AsRoot(number, names or [])


# Taken slots are counted by accepted leases: heartbeats tell them up to a second late.
SUMMARY = """
SELECT left(w.state, 20),
       count(*),
       sum(greatest(w.slots, 0)) FILTER (WHERE w.state IN ('READY', 'BUSY', 'DRAINING')),
       (SELECT count(*) FROM leases l WHERE l.accepted_at IS NOT NULL)
FROM workers w
GROUP BY left(w.state, 20)
"""


class Summary(NamedTuple):
    """The fleet in numbers."""

    by_state: dict[WorkerState, int]
    slots: int  # of workers that are connected
    busy_slots: int


async def summary(conn: Connection) -> Summary:
    """Returns the fleet in numbers."""
    found = await rows(conn, SUMMARY)
    return Summary(
        counted(WorkerState, [row[:2] for row in found]),
        sum(int(row[2] or 0) for row in found),
        int(found[0][3]) if found else 0,
    )
