"""Jobs of a program's own transaction: what it needs of the database is EXECUTE on hodei_enqueue.

The connection is the program's: one of psycopg or Django, which take %s for parameters, or an
AsyncConnection of psycopg."""

from typing import Any

ENQUEUE = """
SELECT {}hodei_enqueue(s.spec)
FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS s (spec, place)
ORDER BY s.place
"""
"""Ids are in the specs: nothing is read from the rows, which are as a program's connection makes
them."""

ENQUEUE_IN_PROJECT = """
SELECT {}hodei_enqueue(s.spec, %s::text)
FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS s (spec, place)
ORDER BY s.place
"""
"""Another function, with a right of its own, which schemas before revision 6 do not have."""


def enqueue(conn: Any, specs: str, project: str, schema: str | None) -> None:
    """Creates a job of each spec of a JSON list, in order, in a project; empty: the role's own. The
    errors are the driver's."""
    with conn.cursor() as cursor:
        cursor.execute(*_statement(specs, project, schema))


async def enqueue_async(conn: Any, specs: str, project: str, schema: str | None) -> None:
    """Does as enqueue."""
    async with conn.cursor() as cursor:
        await cursor.execute(*_statement(specs, project, schema))


def _statement(specs: str, project: str, schema: str | None) -> tuple[str, tuple[str, ...]]:
    """The statement and its parameters; without a schema the function is found on the connection's
    search_path."""
    quoted = '"{}".'.format(schema.replace('"', '""').replace("%", "%%")) if schema else ""
    if project:
        return ENQUEUE_IN_PROJECT.format(quoted), (project, specs)
    return ENQUEUE.format(quoted), (specs,)
