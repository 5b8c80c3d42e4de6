"""Many jobs that have ended are repeated at once: new jobs get their specs, which do not leave the
database."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.actor import said_by
from hodei.domain.job import Creation, JobState
from hodei.domain.state_words import state_of
from hodei.store.database import Connection
from hodei.store.parameters import arrays
from hodei.store.statements import guarded_rows


class Repeat(NamedTuple):
    """A job that is to be repeated, and the id of the new one."""

    old: uuid.UUID
    new: uuid.UUID


# The spec, the correlation id and the project of the old job; it is due at once.
CREATE = """
WITH wanted AS MATERIALIZED (
    SELECT jsonb_agg(
               jsonb_build_object(
                   'id', r.new,
                   'actor', %(actor)s::text,
                   'project', j.project,
                   'spec', (j.spec - 'run_at')
                       || jsonb_build_object('correlation_id', j.correlation_id))
                   || %(said)s::jsonb
               ORDER BY r.place) AS records
    FROM unnest(%(old)s::uuid[], %(new)s::uuid[]) WITH ORDINALITY AS r (old, new, place)
    JOIN jobs j ON j.id = r.old
    WHERE j.id = ANY (%(old)s::uuid[])
      AND j.completed_at IS NOT NULL
      AND jsonb_typeof(j.spec) = 'object'
)
SELECT c.job_id, c.outcome
FROM wanted w
CROSS JOIN LATERAL hodei_create_jobs(w.records) c
"""

# Only where the new job has the spec: an id may be that of another job, which stays as it is.
NAME_ORIGINS = """
UPDATE jobs n
SET retry_of = r.old
FROM unnest(%(old)s::uuid[], %(new)s::uuid[]) AS r (old, new)
JOIN jobs o ON o.id = r.old AND o.id = ANY (%(old)s::uuid[])
WHERE n.id = r.new
  AND n.id = ANY (%(new)s::uuid[])
  AND n.retry_of IS NULL
  AND n.project = o.project
  AND o.completed_at IS NOT NULL
  AND jsonb_typeof(o.spec) = 'object'
  AND n.spec = (o.spec - 'run_at') || jsonb_build_object('correlation_id', o.correlation_id)
RETURNING n.id
"""

OLD = """
SELECT j.id, j.state, j.correlation_id, jsonb_typeof(j.spec) = 'object'
FROM jobs j
WHERE j.id = ANY (%(old)s::uuid[])
"""


class Old(NamedTuple):
    """A job that was to be repeated."""

    state: JobState
    correlation_id: str
    has_spec: bool  # its spec is a JSON object, and not what a hand has made of it


class Repeated(NamedTuple):
    """What a call has done."""

    outcomes: dict[uuid.UUID, Creation]  # by new id
    old: dict[uuid.UUID, Old]  # each that there is


async def retry_many(conn: Connection, repeats: Sequence[Repeat], actor: str) -> Repeated:
    """Creates the new jobs of those that have ended, and writes down what each repeats, in one
    round trip of the caller's transaction. Locked: somebody's transaction is creating one of the ids."""
    parameters = arrays(Repeat._fields, repeats)
    created, _, old = await guarded_rows(
        conn,
        (CREATE, {**parameters, "actor": actor, "said": said_by(actor)}),
        (NAME_ORIGINS, parameters),
        (OLD, {"old": parameters["old"]}),
    )
    return Repeated(
        {job: Creation(outcome) for job, outcome in created},
        {job: Old(state_of(JobState, state), *more) for job, state, *more in old},
    )
