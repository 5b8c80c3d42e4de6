"""Which events a filter wants, newest first, a bounded search at a time."""

import uuid
from collections.abc import Sequence
from typing import LiteralString, NamedTuple

from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import replanned_rows, rows


class Filter(NamedTuple):
    """What an event must have. Empty and None: whatever it has."""

    kinds: Sequence[str] = ()  # empty: all but those of jobs
    with_jobs: bool = False  # those of jobs too
    actor: str | None = None  # also with an addition of a spec (`cli:ana:deploy`)
    about: str | None = None  # its aggregate_id
    since: int | None = None  # at or after it, in microseconds since 1970
    until: int | None = None  # before it


class FoundEvent(NamedTuple):
    """A row of domain_events."""

    id: int
    occurred_at: int  # microseconds since 1970
    event_type: str
    aggregate_id: str
    actor: str
    correlation_id: str
    payload: str
    worker_id: uuid.UUID | None
    worker_name: str | None


class Search(NamedTuple):
    """What one search has found."""

    events: list[FoundEvent]  # newest first
    stopped_at: int | None  # the last event searched, where it ended at its bound
    searched: int  # how many events up to there


# A search ends when it has found enough, after %(most_searched)s events, or after 2 s. It goes along the
# primary key, of each day's partition at once: a page costs the same however far back it lies. A
# payload that somebody made larger than any of ours is replaced by its size.
HEAD: LiteralString = """
SELECT f.id, f.occurred_at, left(f.event_type, 200), left(f.aggregate_id, 200), left(f.actor, 500),
       left(f.correlation_id, 200),
       CASE
           WHEN octet_length(f.payload::text) <= 65536 THEN f.payload::text
           ELSE jsonb_build_object('left_out_bytes', octet_length(f.payload::text))::text
       END,
       f.worker_id, left(w.name, 200), f.is_wanted, f.is_last, f.nth
FROM (
    SELECT s.*
    FROM (
        SELECT n.*,
               n.nth = %(most_searched)s::bigint
                   OR clock_timestamp() > statement_timestamp() + interval '2 s' AS is_last,
               (%(kinds)s::text[] IS NULL OR n.event_type = ANY (%(kinds)s::text[]))
                   AND (%(with_jobs)s::boolean OR NOT starts_with(n.event_type, 'Job'))
                   AND (%(actor)s::text IS NULL
                        OR n.actor = %(actor)s::text
                        OR starts_with(n.actor, %(actor)s::text || ':')) AS is_wanted
        FROM (
            SELECT e.id, e.occurred_at, e.event_type, e.aggregate_id, e.actor, e.correlation_id,
                   e.payload, e.worker_id, row_number() OVER (ORDER BY e.id DESC) AS nth
            FROM domain_events e
            WHERE (%(before)s::bigint IS NULL OR e.id < %(before)s::bigint)
              AND (%(since)s::bigint IS NULL
                   OR e.occurred_at
                       >= timestamptz 'epoch' + %(since)s::bigint * interval '1 microsecond')
              AND (%(until)s::bigint IS NULL
                   OR e.occurred_at
                       < timestamptz 'epoch' + %(until)s::bigint * interval '1 microsecond')
"""
OF_AGGREGATE: LiteralString = "              AND e.aggregate_id = %(about)s::text\n"
TAIL: LiteralString = """
            ORDER BY e.id DESC
            LIMIT %(most_searched)s::bigint
        ) n
    ) s
    WHERE s.is_wanted OR s.is_last
    LIMIT %(most)s::bigint
) f
LEFT JOIN workers w ON w.id = f.worker_id
ORDER BY f.nth
"""
SEARCH = HEAD + TAIL
SEARCH_AGGREGATE = HEAD + OF_AGGREGATE + TAIL


IS_ABOUT = """
SELECT EXISTS (SELECT FROM domain_events e WHERE e.aggregate_id = %(about)s::text)
"""


async def is_about(conn: Connection, about: str) -> bool:
    """Returns whether there is an event with this aggregate_id."""
    ((found,),) = await rows(conn, IS_ABOUT, {"about": about})
    return bool(found)


async def search(
    conn: Connection, wanted: Filter, before: int | None, most_searched: int, most: int
) -> Search:
    """Searches events, newest first, or those with an id below `before`, for `most` that are
    wanted. It searches `most_searched` of them at most, and for 2 s."""
    parameters = {
        "kinds": array(wanted.kinds) if wanted.kinds else None,
        "with_jobs": wanted.with_jobs or bool(wanted.kinds),
        "actor": wanted.actor,
        "since": wanted.since,
        "until": wanted.until,
        "before": before,
        "most_searched": most_searched,
        "most": most,
    }
    statement = SEARCH
    if wanted.about is not None:
        statement = SEARCH_AGGREGATE
        parameters["about"] = wanted.about
    found: list[FoundEvent] = []
    for row in await replanned_rows(conn, statement, parameters):
        *fields, is_wanted, is_last, nth = row
        if is_wanted:
            found.append(FoundEvent(*fields))
        if is_last:
            return Search(found, fields[0], nth)
    return Search(found, None, 0)
