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


def enqueue(conn: Any, specs: str, schema: str | None) -> None:
    """Creates a job of each spec of a JSON list, in order. The errors are the driver's."""
    with conn.cursor() as cursor:
        cursor.execute(_statement(schema), (specs,))


async def enqueue_async(conn: Any, specs: str, schema: str | None) -> None:
    """Does as enqueue."""
    async with conn.cursor() as cursor:
        await cursor.execute(_statement(schema), (specs,))


def _statement(schema: str | None) -> str:
    """The statement; without a schema the function is found on the connection's search_path."""
    quoted = '"{}".'.format(schema.replace('"', '""').replace("%", "%%")) if schema else ""
    return ENQUEUE.format(quoted)
