"""Jobs of a program's own transaction, with each kind of connection that the page names."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from hodei.client import (
    Duplicate,
    HodeiError,
    Invalid,
    enqueue,
    enqueue_async,
    enqueue_many,
    enqueue_many_async,
    new_id,
)
from tests.conftest import Connection


class Undone(Exception):
    """Rolls a transaction back."""


def jobs(db: Connection) -> list[tuple[Any, ...]]:
    return db.execute(
        "SELECT id::text, spec ->> 'command' FROM jobs ORDER BY created_at"
    ).fetchall()


def nothing(db: Connection) -> bool:
    """Whether no trace of a job is left."""
    counts = """
        SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM job_queue),
               (SELECT count(*) FROM domain_events)
    """
    return db.execute(counts).fetchone() == (0, 0, 0)


def test_a_job_stands_with_the_transaction_and_goes_with_it(
    db: Connection, database_url: str
) -> None:
    """The rows of the program's connection may be anything."""
    with psycopg.connect(database_url, row_factory=dict_row) as conn:
        with pytest.raises(Undone), conn.transaction():
            enqueue(conn, command="echo undone")
            raise Undone
        assert nothing(db)
        with conn.transaction():
            one = enqueue(conn, {"command": "echo 1"}, name="first", priority=3)
            many = enqueue_many(conn, ({"command": f"echo {n}"} for n in (2, 3)))
            assert jobs(db) == []
    assert jobs(db) == list(zip([one, *many], ["echo 1", "echo 2", "echo 3"], strict=True))
    described = db.execute("SELECT name, priority, actor FROM jobs WHERE id = %s", [one])
    assert described.fetchone() == ("first", 3, "sql:postgres")


def test_thousands_come_in_their_order(db: Connection) -> None:
    with db.transaction():
        ids = enqueue_many(db, [{"command": f"echo {n}"} for n in range(2500)])
    assert jobs(db) == [(one, f"echo {n}") for n, one in enumerate(ids)]
    assert enqueue_many(db, []) == []


def test_an_asynchronous_connection_does_the_same(db: Connection, database_url: str) -> None:
    async def run() -> list[str]:
        async with await psycopg.AsyncConnection.connect(database_url) as conn:
            with pytest.raises(Undone):
                async with conn.transaction():
                    await enqueue_async(conn, command="echo undone")
                    raise Undone
            assert nothing(db)
            one = await enqueue_async(conn, command="echo 1")
            return [one, *await enqueue_many_async(conn, [{"command": "echo 2"}])]

    ids = asyncio.run(run())
    assert [job_id for job_id, _ in jobs(db)] == ids


def test_a_fault_of_the_spec_has_the_servers_words(db: Connection) -> None:
    mine = new_id()
    cases: list[tuple[dict[str, Any], type[HodeiError], str]] = [
        (
            {"command": "true", "retries": -1},
            Invalid,
            "^retries: expected a whole number from 0 to",
        ),
        ({"command": "x\0"}, Invalid, "^command: expected text without NUL$"),
        ({"command": object()}, Invalid, "^command: expected what JSON can say: "),
        ({"id": mine, "command": "false"}, Duplicate, f"^id: job {mine} exists with another spec$"),
    ]
    for spec, kind, words in cases:
        enqueue(db, id=mine, command="true")
        with pytest.raises(kind, match=words):
            enqueue(db, spec)
    assert jobs(db) == [(mine, "true")]


@pytest.fixture
def app(db: Connection, database_url: str) -> Iterator[Connection]:
    """A connection of a role that has no right yet."""
    role = f"app_{uuid.uuid4().hex[:8]}"
    db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'".encode())
    url = database_url.replace(database_url.split("@", maxsplit=1)[0], f"postgresql://{role}:x")
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            yield conn
    finally:
        db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_the_right_to_execute_is_enough_and_its_absence_is_told(
    db: Connection, app: Connection
) -> None:
    role = app.info.user
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        enqueue(app, command="true")
    assert caught.value.__notes__ == [
        "hodei: the role needs GRANT EXECUTE ON FUNCTION hodei_enqueue(jsonb), or with a project "
        "hodei_enqueue(jsonb, text)"
    ]
    db.execute(f"GRANT EXECUTE ON FUNCTION hodei_enqueue(jsonb) TO {role}".encode())
    enqueue(app, command="true", actor="ana")
    assert db.execute("SELECT actor FROM jobs").fetchall() == [(f"sql:{role}:ana",)]
    app.execute("SET search_path = pg_temp")
    with pytest.raises(psycopg.errors.UndefinedFunction) as unfound:
        enqueue(app, command="true")
    assert "name its schema with schema=" in unfound.value.__notes__[0]
    enqueue(app, command="true", schema="public")
    with pytest.raises(psycopg.errors.InvalidSchemaName):
        enqueue(app, command="true", schema='odd "%s"; DROP')


def test_sqlalchemy(db: Connection, database_url: str) -> None:
    engine = sqlalchemy.create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with pytest.raises(Undone), Session(engine) as session, session.begin():
        enqueue(session.connection().connection.driver_connection, command="echo undone")
        raise Undone
    assert nothing(db)
    with Session(engine) as session, session.begin():
        session.execute(sqlalchemy.text("CREATE TABLE orders (job_id text)"))
        job_id = enqueue(session.connection().connection.driver_connection, command="echo 1")
        session.execute(sqlalchemy.text("INSERT INTO orders VALUES (:id)"), {"id": job_id})
    engine.dispose()
    assert db.execute("SELECT job_id FROM orders JOIN jobs ON id::text = job_id").fetchall()


def test_sqlalchemy_with_asyncio(db: Connection, database_url: str) -> None:
    async def run() -> str:
        engine = create_async_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
        with pytest.raises(Undone):
            async with engine.begin() as conn:
                raw = await conn.get_raw_connection()
                await enqueue_async(raw.driver_connection, command="echo undone")
                raise Undone
        assert nothing(db)
        async with engine.begin() as conn:
            raw = await conn.get_raw_connection()
            job_id = await enqueue_async(raw.driver_connection, command="echo 1")
        await engine.dispose()
        return job_id

    job_id = asyncio.run(run())
    assert jobs(db) == [(job_id, "echo 1")]


def test_django(db: Connection, django_database: Any) -> None:
    from django.db import connection, transaction

    with pytest.raises(Undone), transaction.atomic():
        enqueue(connection, command="echo undone")
        raise Undone
    assert nothing(db)
    with transaction.atomic():
        job_id = enqueue(connection, command="echo 1", env={"JSON": json.dumps({"%s": "%"})})
        with pytest.raises(Invalid, match=r"^retries: expected "), transaction.atomic():
            enqueue(connection, command="true", retries=-1)
    assert jobs(db) == [(job_id, "echo 1")]


def test_what_is_no_connection_is_refused_in_words(db: Connection, database_url: str) -> None:
    engine = sqlalchemy.create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    words = r"^conn: expected a connection of psycopg or Django, got Session \(of SQLAlchemy give "
    with Session(engine) as session, pytest.raises(Invalid, match=words):
        enqueue(session, command="true")

    async def run() -> None:
        words = r"^conn: expected an asynchronous connection, got Connection$"
        with pytest.raises(Invalid, match=words):
            await enqueue_async(db, command="true")
        words = r"^conn: expected no asynchronous connection, got AsyncConnection$"
        async with await psycopg.AsyncConnection.connect(database_url) as conn:
            with pytest.raises(Invalid, match=words):
                enqueue(conn, command="true")

    asyncio.run(run())
    assert nothing(db)
