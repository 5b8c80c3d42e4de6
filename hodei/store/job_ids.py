"""Jobs that are meant by a part of their id, and the newest job of somebody."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.job import JobState
from hodei.store.database import Connection
from hodei.store.parameters import arrays
from hodei.store.statements import replanned_rows

NEWEST = 100_000
"""Newest jobs among which the end of an id, or an actor, is looked for: some 0.2 s. An index of the
ends would cost each create a write at a random place, for ever."""

MOST = 11
"""Jobs that are found for one part, at most."""


class Part(NamedTuple):
    """A part of an id as hex digits: what it begins with, as the least and the greatest id that do,
    and what it ends with. None: it is not looked for there."""

    least: uuid.UUID | None
    greatest: uuid.UUID | None
    ending: str | None


# An id that begins so is found by a range of the primary key; of one project among the greatest
# 100,000 of the range: a longer beginning finds the others. Ends are looked for only where a part
# has one: without, the newest jobs are not read.
MEANT = """
WITH part AS MATERIALIZED (
    SELECT p.place, p.least, p.greatest, p.ending
    FROM unnest(%(least)s::uuid[], %(greatest)s::uuid[], %(ending)s::text[])
         WITH ORDINALITY AS p (least, greatest, ending, place)
), newest AS MATERIALIZED (
    SELECT j.id, j.id::text AS words
    FROM jobs j
    WHERE EXISTS (SELECT FROM part p WHERE p.ending IS NOT NULL)
      AND (%(project)s::text IS NULL OR j.project = %(project)s::text)
    ORDER BY j.created_at DESC, j.id DESC
    LIMIT 100000
), found AS (
    SELECT p.place, b.id
    FROM part p
    CROSS JOIN LATERAL (
        SELECT r.id
        FROM (
            SELECT j.id, j.project
            FROM jobs j
            WHERE j.id BETWEEN p.least AND p.greatest
            ORDER BY j.id DESC
            LIMIT 100000
        ) r
        WHERE %(project)s::text IS NULL OR r.project = %(project)s::text
        LIMIT 11
    ) b
    UNION
    SELECT p.place, n.id
    FROM part p
    JOIN newest n
        ON right(n.words, 8) = right(p.ending, 8)
        AND right(replace(n.words, '-', ''), length(p.ending)) = p.ending
)
SELECT f.place, j.id, j.name, j.state, j.created_at
FROM (
    SELECT f.place, f.id, row_number() OVER (PARTITION BY f.place ORDER BY f.id DESC) AS nth
    FROM found f
) f
JOIN jobs j ON j.id = f.id
WHERE f.nth <= 11
ORDER BY f.place, j.created_at DESC, j.id DESC
"""


class Candidate(NamedTuple):
    """A job that may be meant, as it is listed for people to choose from."""

    id: uuid.UUID
    name: str
    state: JobState
    created_at: int  # microseconds since 1970


async def meant(
    conn: Connection, parts: Sequence[Part], project: str | None = None
) -> list[list[Candidate]]:
    """Returns for each part the jobs whose ids have it, MOST at most: any that begin so, and those
    of the NEWEST that end so; of one project if it is named."""
    found: list[list[Candidate]] = [[] for _ in parts]
    parameters = {**arrays(Part._fields, parts), "project": project}
    for place, *job in await replanned_rows(conn, MEANT, parameters):
        found[place - 1].append(Candidate(*job))
    return found


NEWEST_OF = """
SELECT n.id, n.name, n.state, n.created_at
FROM (
    SELECT j.id, j.name, j.state, j.created_at, j.actor
    FROM jobs j
    WHERE %(project)s::text IS NULL OR j.project = %(project)s::text
    ORDER BY j.created_at DESC, j.id DESC
    LIMIT 100000
) n
WHERE n.actor = %(actor)s::text
   OR starts_with(n.actor, %(actor)s::text || ':')
LIMIT 1
"""


async def newest_of(conn: Connection, actor: str, project: str | None = None) -> Candidate | None:
    """Returns the newest job that the actor created, also under an addition of its spec
    (`cli:ana:deploy`), if it is among the NEWEST; of one project if it is named."""
    found = await replanned_rows(conn, NEWEST_OF, {"actor": actor, "project": project})
    return Candidate(*found[0]) if found else None
