"""Which jobs a filter wants, newest first, a bounded search at a time."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString, NamedTuple

from hodei.domain.job import FINAL, JobState, Reason
from hodei.domain.state_words import state_of
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import replanned_rows, rows


@dataclass(frozen=True, slots=True)
class Filter:
    """What a job must have. Empty and None: whatever it has."""

    states: Sequence[JobState] = ()
    reasons: Sequence[Reason] = ()
    workers: Sequence[uuid.UUID] | None = None  # that have it, or had it last; []: no job's
    name_like: str | None = None  # a pattern of LIKE
    labels: dict[str, str] = field(default_factory=dict)
    label_names: Sequence[str] = ()  # labels of any value
    since: int | None = None  # created at or after it, in microseconds since 1970
    until: int | None = None  # created before it
    actor: str | None = None  # also with an addition of the spec (`cli:ana:deploy`)
    correlation_id: str | None = None
    project: str | None = None


class FoundJob(NamedTuple):
    """A job that was found, and its state then."""

    id: uuid.UUID
    state: JobState


class Search(NamedTuple):
    """What one search has found."""

    jobs: list[FoundJob]  # newest first
    stopped_at: uuid.UUID | None  # the last job searched, where it ended at its bound
    searched: int  # how many jobs up to there


# A search ends when it has found enough, after %(most_searched)s jobs, or after 2 s: a spec may be a
# quarter of a megabyte, and is unpacked for its labels. The job at which it ended is in the answer,
# wanted or not.
#
# It goes by keyset along an index that has the order of the list, or of the list of one project: a
# page costs the same however far back it lies, and jobs of other projects are neither searched nor
# counted. Planned for its parameters each time; a plan for any would walk from the newest job,
# or sort the table.
HEAD: LiteralString = """
SELECT s.id, s.state, s.is_wanted, s.is_last, s.nth
FROM (
    SELECT n.id,
           n.state,
           n.nth,
           n.nth = %(most_searched)s::bigint
               OR clock_timestamp() > statement_timestamp() + interval '2 s' AS is_last,
           coalesce(
               (%(states)s::text[] IS NULL OR n.state = ANY (%(states)s::text[]))
               AND (%(reasons)s::text[] IS NULL OR n.reason = ANY (%(reasons)s::text[]))
               AND (%(workers)s::uuid[] IS NULL OR n.worker_id = ANY (%(workers)s::uuid[]))
               AND (%(name)s::text IS NULL OR n.name LIKE %(name)s::text)
               AND (%(actor)s::text IS NULL
                    OR n.actor = %(actor)s::text
                    OR starts_with(n.actor, %(actor)s::text || ':'))
               AND (%(labels)s::jsonb IS NULL OR n.spec -> 'labels' @> %(labels)s::jsonb)
               AND (%(label_names)s::text[] IS NULL
                    OR n.spec -> 'labels' ?& %(label_names)s::text[]),
               false) AS is_wanted
    FROM (
        SELECT j.id, j.state, j.reason, j.worker_id, j.name, j.actor, j.spec,
               row_number() OVER (ORDER BY j.created_at DESC, j.id DESC) AS nth
        FROM jobs j
        WHERE (j.created_at, j.id) < (
                  CASE
                      WHEN %(before)s::uuid IS NULL THEN timestamptz 'infinity'
                      ELSE (
                          SELECT b.created_at
                          FROM jobs b
                          WHERE b.id = %(before)s::uuid
                            AND (%(project)s::text IS NULL OR b.project = %(project)s::text))
                  END,
                  coalesce(%(before)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
          AND (%(project)s::text IS NULL OR j.project = %(project)s::text)
          AND (%(since)s::bigint IS NULL
               OR j.created_at
                   >= timestamptz 'epoch' + %(since)s::bigint * interval '1 microsecond')
          AND (%(until)s::bigint IS NULL
               OR j.created_at
                   < timestamptz 'epoch' + %(until)s::bigint * interval '1 microsecond')
"""
OF_CORRELATION: LiteralString = "          AND j.correlation_id = %(correlation_id)s::text\n"
# Jobs that have not ended stand in two small tables (rule 3): the oldest of them is found, however
# many have ended since.
OF_LIVE: LiteralString = """          AND j.id = ANY (ARRAY(
              SELECT q.job_id FROM job_queue q UNION ALL SELECT l.job_id FROM leases l))
"""
OF_RUNNING: LiteralString = """          AND j.id = ANY (ARRAY(SELECT l.job_id FROM leases l))
"""
TAIL: LiteralString = """
        ORDER BY j.created_at DESC, j.id DESC
        LIMIT %(most_searched)s::bigint
    ) n
) s
WHERE s.is_wanted OR s.is_last
LIMIT %(most)s::bigint
"""
SEARCH = HEAD + TAIL
SEARCH_CORRELATED = HEAD + OF_CORRELATION + TAIL
SEARCH_LIVE = HEAD + OF_LIVE + TAIL
SEARCH_RUNNING = HEAD + OF_RUNNING + TAIL

MOST_LIVE = 20_000
"""Rows of job_queue and leases, beyond which their jobs are searched as all others, newest first."""

COUNT_LIVE = """
SELECT (SELECT count(*) FROM (SELECT FROM job_queue LIMIT 20001) q),
       (SELECT count(*) FROM (SELECT FROM leases LIMIT 20001) l)
"""


async def search(
    conn: Connection, wanted: Filter, before: uuid.UUID | None, most_searched: int, most: int
) -> Search:
    """Searches jobs, newest first, or those older than `before`, for `most` that are wanted. It
    searches `most_searched` of them at most, and for 2 s."""
    parameters = {
        **_parameters(wanted),
        "before": before,
        "most_searched": most_searched,
        "most": most,
    }
    statement = SEARCH
    if wanted.correlation_id is not None:
        statement = SEARCH_CORRELATED
        parameters["correlation_id"] = wanted.correlation_id
    elif wanted.states and not FINAL & set(wanted.states):
        statement = await _search_of_live(conn, wanted.states)
    found: list[FoundJob] = []
    for job, state, is_wanted, is_last, nth in await replanned_rows(conn, statement, parameters):
        if is_wanted:
            found.append(FoundJob(job, state_of(JobState, state)))
        if is_last:
            return Search(found, job, nth)
    return Search(found, None, 0)


async def _search_of_live(conn: Connection, states: Sequence[JobState]) -> LiteralString:
    ((queued, leased),) = await rows(conn, COUNT_LIVE)
    if JobState.PENDING not in states and leased <= MOST_LIVE:
        return SEARCH_RUNNING
    return SEARCH_LIVE if queued + leased <= MOST_LIVE else SEARCH


def _parameters(wanted: Filter) -> dict[str, Any]:
    return {
        "states": array(wanted.states) if wanted.states else None,
        "reasons": array(wanted.reasons) if wanted.reasons else None,
        "workers": None if wanted.workers is None else array(wanted.workers),
        "name": wanted.name_like,
        "labels": json.dumps(wanted.labels) if wanted.labels else None,
        "label_names": array(wanted.label_names) if wanted.label_names else None,
        "since": wanted.since,
        "until": wanted.until,
        "actor": wanted.actor,
        "project": wanted.project,
    }


STATES = """
SELECT j.id, j.state
FROM jobs j
WHERE j.id = ANY (%(jobs)s::uuid[])
  AND (%(project)s::text IS NULL OR j.project = %(project)s::text)
"""


async def states(
    conn: Connection, ids: Sequence[uuid.UUID], project: str | None = None
) -> list[FoundJob]:
    """Returns those of the jobs that there are, of this project if one is named, in the order of
    `ids`."""
    parameters = {"jobs": array(ids), "project": project}
    found: dict[uuid.UUID, str] = dict(await replanned_rows(conn, STATES, parameters))
    return [FoundJob(job, state_of(JobState, found[job])) for job in ids if job in found]


# The dashes of an id do not count, as everywhere else (NAMED in fleet_view.py).
WORKERS_NAMED = """
SELECT g.text, w.id
FROM unnest(%(texts)s::text[]) AS g (text)
CROSS JOIN LATERAL (
    SELECT CASE WHEN g.text ~ '^[0-9a-fA-F-]+$' THEN lower(replace(g.text, '-', '')) ELSE '' END
) AS p (part)
JOIN workers w
    ON w.name = g.text
    OR (length(p.part) >= 6 AND starts_with(replace(w.id::text, '-', ''), p.part))
    OR (length(p.part) >= 8
        AND right(replace(w.id::text, '-', ''), length(p.part)) = p.part)
LIMIT 1000
"""


async def workers_named(conn: Connection, texts: Sequence[str]) -> list[tuple[str, uuid.UUID]]:
    """Returns the workers, 1,000 at most, whose name is one of the texts, or whose id begins with
    its 6 or more hexadecimal digits or ends with its 8 or more; each with that text."""
    return [
        (text, worker) for text, worker in await rows(conn, WORKERS_NAMED, {"texts": array(texts)})
    ]
