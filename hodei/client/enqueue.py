"""Jobs that are created in a transaction of the program's own: they stand when it commits, and
nothing is left of them when it is rolled back."""

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Unpack

from hodei.client.filters import project_of
from hodei.client.specs import AnySpec, Ready, Spec, one_spec, ready
from hodei.domain import spec_json
from hodei.domain.errors import Duplicate, Forbidden, Invalid
from hodei.domain.text import shown
from hodei.protocol.pieces import pieces
from hodei.store import enqueue as store

INVALID, DUPLICATE, NO_RIGHT, NO_FUNCTION = "22023", "23505", "42501", "42883"
"""SQLSTATEs of hodei_enqueue and of the way to it."""

NOTES = {
    NO_RIGHT: "hodei: the role needs GRANT EXECUTE ON FUNCTION hodei_enqueue(jsonb), or with a project "
    "hodei_enqueue(jsonb, text)",
    NO_FUNCTION: "hodei: hodei_enqueue is not on this connection's search_path: apply the schema "
    "(hodei db apply), or name its schema with schema=",
}


def enqueue(
    conn: Any,
    spec: AnySpec | None = None,
    /,
    *,
    project: str | None = None,
    schema: str | None = None,
    **keys: Unpack[Spec],
) -> str:
    """Creates a job in the transaction that is open on `conn`, a connection of psycopg or Django, and
    returns its id. The spec is a mapping, keys, or both. `project` is one of several that the role
    is granted. `schema` is Hodei's, where it is not on the search_path.

    Invalid, Duplicate: as Hodei.submit. Forbidden: the role is not granted the project. As after any
    statement that failed, PostgreSQL then takes no further one of the transaction. All other errors
    are the driver's own."""
    (job_id,) = enqueue_many(conn, [one_spec(spec, keys)], project=project, schema=schema)
    return job_id


def enqueue_many(
    conn: Any,
    specs: Iterable[AnySpec],
    *,
    project: str | None = None,
    schema: str | None = None,
) -> list[str]:
    """Creates jobs as enqueue does, and returns their ids in order."""
    asked = _checked(conn, specs, project, schema, is_async=False)
    for piece in asked.pieces:
        with _words():
            store.enqueue(conn, piece, asked.project, schema)
    return asked.job_ids


async def enqueue_async(
    conn: Any,
    spec: AnySpec | None = None,
    /,
    *,
    project: str | None = None,
    schema: str | None = None,
    **keys: Unpack[Spec],
) -> str:
    """Does as enqueue, on an AsyncConnection of psycopg."""
    given = [one_spec(spec, keys)]
    (job_id,) = await enqueue_many_async(conn, given, project=project, schema=schema)
    return job_id


async def enqueue_many_async(
    conn: Any,
    specs: Iterable[AnySpec],
    *,
    project: str | None = None,
    schema: str | None = None,
) -> list[str]:
    """Does as enqueue_many, on an AsyncConnection of psycopg."""
    asked = _checked(conn, specs, project, schema, is_async=True)
    for piece in asked.pieces:
        with _words():
            await store.enqueue_async(conn, piece, asked.project, schema)
    return asked.job_ids


class _Asked(NamedTuple):
    """What a call asks for. `pieces`: lists of specs as JSON, each of a statement's size."""

    job_ids: list[str]
    pieces: Iterator[str]
    project: str  # empty: the role's own


def _checked(
    conn: Any, specs: Iterable[AnySpec], project: str | None, schema: str | None, *, is_async: bool
) -> _Asked:
    """All of a call, before its first statement. Invalid: some of it is wrong."""
    named = project_of(project)
    many = _ready(specs)
    _check(conn, schema, is_async=is_async)
    return _Asked([one.job_id for one in many], map(_json, pieces(many)), named)


def _ready(specs: Iterable[AnySpec]) -> list[Ready]:
    """The specs, none of which PostgreSQL could not read: that is found here, before a statement
    fails for it and the transaction with it."""
    if not isinstance(specs, Iterable):
        raise Invalid(f"specs: expected several specs, got {type(specs).__name__}")
    many = [ready(spec) for spec in specs]
    for one in many:
        spec_json.read(one.text)
    return many


def _check(conn: Any, schema: str | None, *, is_async: bool) -> None:
    """Invalid: the connection is none, or of the other kind, or the schema is no text."""
    if schema is not None and not isinstance(schema, str):
        raise Invalid(f"schema: expected text, got {type(schema).__name__}")
    kind = type(conn).__name__
    if not callable(getattr(conn, "cursor", None)):
        raise Invalid(
            f"conn: expected a connection of psycopg or Django, got {kind} (of SQLAlchemy give "
            "driver_connection)"
        )
    if inspect.iscoroutinefunction(getattr(conn, "commit", None)) != is_async:
        wanted = "an asynchronous" if is_async else "no asynchronous"
        raise Invalid(f"conn: expected {wanted} connection, got {kind}")


def _json(piece: Iterable[Ready]) -> str:
    return f"[{','.join(one.text for one in piece)}]"


@contextmanager
def _words() -> Iterator[None]:
    """Makes errors of hodei_enqueue ours, and says of others what they mean."""
    try:
        yield
    except Exception as error:
        state, words = _sqlstate(error)
        if state == INVALID:
            raise Invalid(words) from error
        if state == DUPLICATE and words.startswith("id: "):
            raise Duplicate(words) from error
        if state == NO_RIGHT and words.startswith("project: "):
            raise Forbidden(words) from error
        if state in NOTES:
            error.add_note(NOTES[state])
        raise


def _sqlstate(error: BaseException | None) -> tuple[str, str]:
    """The SQLSTATE and the primary message of an error of a driver, or of one that Django has made
    of it."""
    while error is not None:
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if state:
            primary = getattr(getattr(error, "diag", None), "message_primary", None)
            return str(state), shown(str(primary or error))
        error = error.__cause__
    return "", ""
