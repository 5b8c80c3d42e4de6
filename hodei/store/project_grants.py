"""Projects: which there are, and which roles of the database may enqueue into them. The statement
that grants and the one that takes a grant back each write ProjectGranted."""

from typing import NamedTuple

from hodei.store.database import Connection
from hodei.store.statements import brief_rows, rows

MOST = 1000
"""Projects of one answer."""

MOST_ROLES = 100
"""Roles of one project that are listed."""

# Nothing but its use makes a project. The names that jobs have are found by one look into an index
# for each.
LIST = """
WITH RECURSIVE of_jobs AS (
    (SELECT j.project FROM jobs j ORDER BY j.project LIMIT 1)
    UNION ALL
    SELECT (SELECT j.project FROM jobs j WHERE j.project > o.project ORDER BY j.project LIMIT 1)
    FROM of_jobs o
    WHERE o.project IS NOT NULL
), names AS (
    SELECT 'default' AS project
    UNION
    (SELECT o.project FROM of_jobs o WHERE o.project IS NOT NULL LIMIT %(most)s + 1)
    UNION
    (SELECT DISTINCT g.project FROM project_grants g LIMIT %(most)s + 1)
    UNION
    (SELECT DISTINCT k.project
     FROM api_keys k
     WHERE k.project IS NOT NULL AND k.revoked_at IS NULL
     LIMIT %(most)s + 1)
    UNION
    (SELECT DISTINCT s.project FROM secrets s WHERE s.ended_at IS NULL LIMIT %(most)s + 1)
)
SELECT left(n.project, 200),
       (SELECT count(*)
        FROM api_keys k
        WHERE k.project = n.project
          AND k.revoked_at IS NULL
          AND coalesce(k.expires_at > clock_timestamp(), true)),
       ARRAY(
           SELECT left(g.role, 200)
           FROM project_grants g
           WHERE g.project = n.project
           ORDER BY g.role
           LIMIT %(most_roles)s)
FROM names n
WHERE %(project)s::text IS NULL OR n.project = %(project)s::text
ORDER BY n.project COLLATE "C"
LIMIT %(most)s + 1
"""


class Project(NamedTuple):
    """A project that is used."""

    name: str
    keys: int  # API keys that are bound to it and usable
    roles: list[str]  # of the database, that may enqueue into it


class Listed(NamedTuple):
    """Projects by name, MOST at most."""

    projects: list[Project]
    more: bool  # there are others


async def list_all(conn: Connection, project: str | None = None) -> Listed:
    """Returns the projects that jobs, keys, secrets or grants have, or the one that is named."""
    parameters = {"project": project, "most": MOST, "most_roles": MOST_ROLES}
    found = [Project(*row) for row in await rows(conn, LIST, parameters)]
    return Listed(found[:MOST], len(found) > MOST)


GRANT = """
WITH given AS (
    INSERT INTO project_grants (role, project, granted_by)
    SELECT r.rolname, %(project)s::text, %(actor)s::text
    FROM pg_roles r
    WHERE r.rolname = %(role)s::text
    ON CONFLICT DO NOTHING
    RETURNING role, project
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT clock_timestamp(), 'ProjectGranted', g.project, g.project, %(actor)s::text,
           jsonb_strip_nulls(jsonb_build_object(
               'project', g.project,
               'role', g.role,
               'granted', true,
               'on_behalf_of', nullif(%(on_behalf_of)s::text, '')))
    FROM given g
)
SELECT true FROM pg_roles r WHERE r.rolname = %(role)s::text
"""


async def grant(
    conn: Connection, role: str, project: str, actor: str, on_behalf_of: str = ""
) -> bool:
    """Lets a role of the database enqueue into a project. False: there is no such role."""
    parameters = {"role": role, "project": project, "actor": actor, "on_behalf_of": on_behalf_of}
    return bool(await brief_rows(conn, GRANT, parameters))


UNGRANT = """
WITH taken AS (
    DELETE FROM project_grants g
    WHERE g.role = %(role)s::text
      AND g.project = %(project)s::text
    RETURNING g.role, g.project
)
INSERT INTO domain_events (
    occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
SELECT clock_timestamp(), 'ProjectGranted', t.project, t.project, %(actor)s::text,
       jsonb_strip_nulls(jsonb_build_object(
           'project', t.project,
           'role', t.role,
           'granted', false,
           'on_behalf_of', nullif(%(on_behalf_of)s::text, '')))
FROM taken t
RETURNING true
"""


async def ungrant(
    conn: Connection, role: str, project: str, actor: str, on_behalf_of: str = ""
) -> bool:
    """Takes a grant back. False: there is no such grant."""
    parameters = {"role": role, "project": project, "actor": actor, "on_behalf_of": on_behalf_of}
    return bool(await brief_rows(conn, UNGRANT, parameters))
