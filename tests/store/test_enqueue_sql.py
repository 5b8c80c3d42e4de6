"""`SELECT hodei_enqueue(spec)` as programs with a database connection use it."""

import threading
import uuid

import psycopg
import pytest

from tests.conftest import Connection

HELLO = """SELECT hodei_enqueue('{"command": "echo hello"}')"""


def test_a_job_is_created_in_the_callers_transaction_and_rolled_back_with_it(
    db: Connection,
) -> None:
    with db.transaction(force_rollback=True):
        db.execute(HELLO)
        assert db.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    counts = db.execute(
        "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM job_queue), (SELECT count(*) FROM domain_events)"
    )
    assert counts.fetchone() == (0, 0, 0)


def test_it_leaves_a_queue_row_an_event_and_one_wake_up(db: Connection) -> None:
    db.execute("LISTEN hodei_work")
    with db.transaction():
        for _ in range(3):
            db.execute(HELLO)
    assert [(n.channel, n.payload) for n in db.notifies(timeout=0.2)] == [("hodei_work", "")]
    rows = db.execute(
        "SELECT j.state, q.waiting, e.event_type, e.actor, e.correlation_id = j.id::text, e.occurred_at = j.updated_at "
        "FROM jobs j JOIN job_queue q ON q.job_id = j.id JOIN domain_events e ON e.aggregate_id = j.id::text"
    ).fetchall()
    assert rows == [("PENDING", None, "JobCreated", "sql:postgres", True, True)] * 3


def test_a_role_with_only_execute_can_enqueue_and_nothing_else(
    db: Connection, database_url: str
) -> None:
    role = f"app_{uuid.uuid4().hex[:8]}"
    db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'".encode())
    try:
        url = database_url.replace(database_url.split("@", maxsplit=1)[0], f"postgresql://{role}:x")
        with psycopg.connect(url, autocommit=True) as app:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(HELLO)
            db.execute(f"GRANT EXECUTE ON FUNCTION hodei_enqueue(jsonb) TO {role}".encode())
            # A trap on its search_path catches nothing: the function's own path is fixed.
            db.execute(f"CREATE SCHEMA {role} AUTHORIZATION {role}".encode())
            app.execute(f"CREATE TABLE {role}.jobs (id uuid)".encode())
            app.execute(f"SET search_path = {role}, public".encode())
            app.execute("""SELECT hodei_enqueue('{"command": "true", "actor": "ana"}')""")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("SELECT * FROM public.jobs")
        assert db.execute("SELECT actor FROM jobs").fetchall() == [(f"sql:{role}:ana",)]
    finally:
        db.execute(
            f"DROP SCHEMA IF EXISTS {role} CASCADE; DROP OWNED BY {role}; DROP ROLE {role}".encode()
        )


def test_the_same_id_and_spec_is_the_same_job_and_another_spec_is_refused(db: Connection) -> None:
    one = """SELECT hodei_enqueue('{"id": "0190b5c5-0000-7000-8000-000000000001", "command": "echo 1"}')"""
    assert db.execute(one).fetchone() == db.execute(one).fetchone()
    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    assert db.execute("SELECT count(*) FROM domain_events").fetchone() == (1,)
    with pytest.raises(psycopg.errors.UniqueViolation, match="exists with another spec"):
        db.execute(one.replace("echo 1", "echo 2"))


def test_two_transactions_with_one_id_make_one_job(db: Connection, database_url: str) -> None:
    statement = """SELECT hodei_enqueue('{"id": "0190b5c5-0000-7000-8000-000000000002", "command": "echo 1"}')"""
    answers: list[object] = []

    def other() -> None:
        with psycopg.connect(database_url) as second:
            answers.append(second.execute(statement).fetchone())

    with db.transaction():
        db.execute(statement)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "the second waits for the first"
    thread.join(5)
    assert answers == [(uuid.UUID("0190b5c5-0000-7000-8000-000000000002"),)]
    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (1,)


def test_a_job_for_later_waits_with_its_reason(db: Connection) -> None:
    db.execute("""SELECT hodei_enqueue('{"command": "true", "run_at": "2126-01-31T12:00:00Z"}')""")
    assert db.execute(
        "SELECT waiting, ready_at = run_at FROM job_queue JOIN jobs ON id = job_id"
    ).fetchall() == [("RUN_AT", True)]


def test_ids_are_version_7_and_in_the_order_of_time(db: Connection) -> None:
    rows = db.execute("SELECT hodei_uuid7() FROM generate_series(1, 3), pg_sleep(0.003)").fetchall()
    ids = [row[0] for row in rows]
    assert all((i.version, i.variant) == (7, uuid.RFC_4122) for i in ids)
    later = db.execute("SELECT hodei_uuid7() FROM pg_sleep(0.003)").fetchone()
    assert later is not None
    assert later[0].int >> 80 > ids[0].int >> 80
