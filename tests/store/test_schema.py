"""schema.sql by itself: applied alone, twice, and after the guide's clean."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hodei.local import binaries
from hodei.local.embedded_postgres import EmbeddedPostgres
from hodei.store import schema, schema_check
from tests.conftest import SCHEMA, Connection

CLEAN = """
DROP TABLE IF EXISTS job_queue CASCADE;
DROP TABLE IF EXISTS jobs CASCADE;
DROP TABLE IF EXISTS workers CASCADE;
DROP TABLE IF EXISTS worker_bootstrap_tokens CASCADE;
DROP TABLE IF EXISTS job_events CASCADE;
"""

CATALOG = """
WITH days AS (SELECT c.relname FROM pg_class c WHERE c.relispartition AND c.relkind = 'r')
SELECT 'column', table_name, column_name, data_type || coalesce(column_default, '') || is_nullable
FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT IN (SELECT relname FROM days)
UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename NOT IN (SELECT relname FROM days)
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT IN (SELECT relname FROM days)
UNION ALL SELECT 'day', relname, '', '' FROM days
UNION ALL SELECT 'function', proname, '', md5(prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'storage', oid::regclass::text, reloptions::text, '' FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, '' FROM pg_trigger WHERE NOT tgisinternal
ORDER BY 1, 2, 3, 4
"""


def psql(url: str) -> str:
    ran = subprocess.run(
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", SCHEMA, url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


def test_alone_it_leaves_a_database_where_enqueue_works(empty_database_url: str) -> None:
    psql(empty_database_url)
    with psycopg.connect(empty_database_url) as conn:
        conn.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
        assert conn.execute("SELECT state FROM jobs").fetchall() == [("PENDING",)]


def test_twice_is_a_no_op(empty_database_url: str) -> None:
    psql(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
        before = conn.execute(CATALOG).fetchall(), conn.execute("SELECT * FROM jobs").fetchall()
        psql(empty_database_url)
        assert (
            conn.execute(CATALOG).fetchall(),
            conn.execute("SELECT * FROM jobs").fetchall(),
        ) == before
        assert len(before[0]) > 150


@pytest.mark.usefixtures("one_day")
def test_what_the_guides_clean_drops_comes_back_and_the_audit_stays(
    db: Connection, database_url: str
) -> None:
    before = db.execute(CATALOG).fetchall()
    db.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
    db.execute("INSERT INTO provider_configs (name, provider_type) VALUES ('Docker', 'Docker')")
    for _ in range(2):
        db.execute(CLEAN)
        assert db.execute(
            "SELECT to_regclass('jobs'), to_regclass('job_events'), to_regclass('workers')"
        ).fetchone() == (None, None, None)
        assert schema_check.check_sync(database_url)[0] is False
        assert schema.apply_sync(database_url) == "applied schema version 1.6"
        assert db.execute(CATALOG).fetchall() == before
    assert db.execute("SELECT event_type FROM domain_events").fetchall() == [("JobCreated",)]
    assert db.execute("SELECT count(*) FROM provider_configs").fetchone() == (1,)


@pytest.mark.parametrize("revision", [1, 2, 3, 4, 5])
@pytest.mark.usefixtures("one_day")
def test_a_filled_database_of_an_older_revision_is_upgraded(
    empty_database_url: str, db: Connection, revision: int
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute((Path(__file__).parent / f"schema-1.{revision}.sql").read_bytes())
        conn.execute("""SELECT hodei_enqueue('{"command": "true", "retries": 2}')""")
        conn.execute(
            "INSERT INTO job_logs (job_id, lease, seq, attempt, stream, byte_offset, first_line, read_at, data) "
            "SELECT id, 1, 0, 1, 1, 0, 1, now() - interval '9 days', 'x' FROM jobs"
        )
        conn.execute(
            "INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, payload) "
            "SELECT now() - interval '90 days', 'WorkerStatusChanged', 'w', 'w', 'x', '{}'"
        )
        kept = (
            "SELECT id, state, spec FROM jobs",
            "SELECT job_id FROM job_queue",
            "SELECT job_id, event_type FROM job_events",
            "SELECT id, occurred_at, event_type, payload FROM domain_events ORDER BY id",
            "SELECT job_id, lease, seq, data FROM job_logs",
        )
        filled = [conn.execute(look.encode()).fetchall() for look in kept]
        assert schema_check.check_sync(empty_database_url) == (
            False,
            f"the database's schema is version 1.{revision}, this program's is 1.6; run `hodei db apply`",
        )
        assert schema.apply_sync(empty_database_url) == "applied schema version 1.6"
        assert conn.execute(CATALOG).fetchall() == db.execute(CATALOG).fetchall(), (
            "the same as a fresh one"
        )
        assert schema_check.check_sync(empty_database_url).words == "schema version 1.6 stands"
        assert [conn.execute(look.encode()).fetchall() for look in kept] == filled
        conn.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
        assert conn.execute(
            "SELECT count(DISTINCT id) = count(*), count(*) FROM domain_events"
        ).fetchone() == (True, 3)
        stray = (
            1 if revision >= 3 else 0
        )  # days stand already: what is older than they lies beside them
        assert conn.execute("SELECT count(*) FROM domain_events_default").fetchone() == (stray,)
        assert conn.execute(
            "SELECT retries, timeout_ms FROM jobs ORDER BY created_at LIMIT 1"
        ).fetchone() == (2, None)


def test_what_older_doors_took_and_nobody_can_run_ends_rejected(empty_database_url: str) -> None:
    odd = (
        '{"command": "x", "silence_timeout": 1e-400}',
        '{"command": "x", "run_at": "9999-12-31T23:59:59-14:00"}',
    )
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute((Path(__file__).parent / "schema-1.3.sql").read_bytes())
        for spec in (*odd, '{"command": "x", "timeout": 0.5, "grace": 0}'):
            conn.execute("SELECT hodei_enqueue(%s::jsonb)", [spec])
        schema.apply_sync(empty_database_url)
        found = conn.execute(
            "SELECT state, reason, message, timeout_ms, grace_ms FROM jobs ORDER BY created_at"
        ).fetchall()
        events = conn.execute(
            "SELECT count(*) FROM domain_events WHERE payload ->> 'reason' = 'REJECTED'"
        ).fetchone()
    assert found == [
        ("FAILED", "REJECTED", "silence_timeout: expected at least 0.001 s", None, None),
        ("FAILED", "REJECTED", "run_at: expected a time of the years 2000 to 2999", None, None),
        ("PENDING", None, None, 500, 0),
    ]
    assert events == (2,)


def test_a_newer_revision_is_no_reason_to_refuse(db: Connection, database_url: str) -> None:
    """Servers of the commit before run beside newer ones on one database."""
    db.execute("UPDATE hodei_schema SET revision = 99")
    assert schema_check.check_sync(database_url) == (True, "schema version 1.99 stands")
    assert schema.apply_sync(database_url) == "schema version 1.99 stands; nothing to do"
    db.execute(CLEAN)
    with pytest.raises(
        Exception,
        match=r"revision 1\.99, newer than this program's 1\.6: run `hodei db apply` of the newer program",
    ):
        schema.apply_sync(database_url)


def test_a_newer_schema_is_refused_and_left_alone(db: Connection, database_url: str) -> None:
    db.execute("UPDATE hodei_schema SET version = 99")
    stands, words = schema_check.check_sync(database_url)
    assert not stands
    assert "newer" in words
    with pytest.raises(Exception, match=r"version 99\.6, newer than this program's 1\.6"):
        schema.apply_sync(database_url)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE jobs SET state = 'SCHEDULED'",
        "UPDATE jobs SET state = 'SUCCEEDED'",
        "UPDATE jobs SET state = 'RUNNING'",
        "UPDATE jobs SET completed_at = now()",
        "UPDATE jobs SET name = ''",
        "UPDATE job_queue SET waiting = 'RUN_AT'",
    ],
)
def test_checks_refuse_what_no_state_may_be(db: Connection, change: str) -> None:
    db.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(change.encode())


@pytest.fixture
def system_postgres(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    places = [p for p in Path("/usr/lib/postgresql").glob("*/bin") if (p / "initdb").exists()]
    if not places:
        pytest.skip("no PostgreSQL of the system in /usr/lib/postgresql")
    with EmbeddedPostgres(open_folder / "pg", durable=False, prefer="system") as server:
        yield server


def test_the_systems_postgres_takes_it_too(system_postgres: EmbeddedPostgres) -> None:
    psql(system_postgres.dsn())
    with psycopg.connect(system_postgres.dsn(), autocommit=True) as conn:
        assert conn.info.server_version // 10000 == binaries.major_of(
            binaries.find(prefer="system")
        )
        job_id = conn.execute(
            """SELECT hodei_enqueue('{"command": "true", "labels": {"a": "b"}}')"""
        ).fetchone()
        assert conn.execute("SELECT job_id, event_type FROM job_events").fetchall() == [
            (*(job_id or ()), "JobCreated")
        ]
    assert schema_check.check_sync(system_postgres.dsn()).words == "schema version 1.6 stands"


LEASE = """
INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, offered_at, accept_by)
VALUES (%s, gen_random_uuid(), gen_random_uuid(), 1, now(), now(), now())
"""


def test_the_lease_sequence_passes_live_leases_and_never_goes_back(
    db: Connection, database_url: str
) -> None:
    assert "behind" not in schema.apply_sync(database_url)
    db.execute(LEASE, [5000])
    assert "the lease sequence was behind live leases" in schema.apply_sync(database_url)
    assert db.execute("SELECT nextval('hodei_lease_seq')").fetchone() == (5001,)
    assert "behind" not in schema.apply_sync(database_url)
    db.execute("SELECT setval('hodei_lease_seq', 9000)")
    schema.apply_sync(database_url)
    assert db.execute("SELECT nextval('hodei_lease_seq')").fetchone() == (9001,)
    db.execute("DROP SEQUENCE hodei_lease_seq")
    schema.apply_sync(database_url)
    row = db.execute(
        "SELECT nextval('hodei_lease_seq'), (extract(epoch FROM now()) * 1000000 - 60000000)::bigint"
    ).fetchone()
    assert row
    assert row[1] < row[0] < 2**53


def test_numbers_drawn_while_the_sequence_moves_are_never_given_twice(
    db: Connection, database_url: str
) -> None:
    db.execute(LEASE, [1000])
    db.execute("SELECT setval('hodei_lease_seq', 990)")
    drawn: list[int] = []

    def draw() -> None:
        with psycopg.connect(database_url, autocommit=True) as conn:
            for _ in range(400):
                drawn.extend(row[0] for row in conn.execute("SELECT nextval('hodei_lease_seq')"))

    threads = [threading.Thread(target=draw) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        schema.apply_sync(database_url)
    for thread in threads:
        thread.join()
    assert len(drawn) == len(set(drawn)) == 1200


def test_by_psql_it_is_applied_whole_or_not_at_all(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(
            "CREATE FUNCTION hodei_refuse(what text) RETURNS text LANGUAGE sql RETURN what"
        )  # another type of result
        subprocess.run(
            ["psql", "-X", "-q", "-f", SCHEMA, empty_database_url],
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert conn.execute(
            "SELECT to_regclass('hodei_schema'), to_regclass('jobs')"
        ).fetchone() == (None, None)


def test_a_schema_without_its_version_does_not_stand(database_url: str, db: Connection) -> None:
    db.execute("DELETE FROM hodei_schema")
    assert schema_check.check_sync(database_url) == (
        False,
        "table hodei_schema is empty; run `hodei db apply`",
    )
    schema.apply_sync(database_url)
    assert schema_check.check_sync(database_url).stands


def test_a_trigger_that_is_switched_off_is_one_that_is_missing(
    database_url: str, db: Connection
) -> None:
    db.execute("ALTER TABLE worker_bootstrap_tokens DISABLE TRIGGER token_created")
    found = schema_check.check_sync(database_url)
    assert (found.stands, "trigger" in found.words) == (False, True), found
    schema.apply_sync(database_url)
    assert schema_check.check_sync(database_url).stands


def test_the_file_is_applied_where_its_own_key_is_gone(db: Connection) -> None:
    db.execute("ALTER TABLE hodei_schema DROP CONSTRAINT hodei_schema_pkey")
    db.execute("UPDATE hodei_schema SET revision = 5")
    for _ in range(2):
        db.execute(SCHEMA.read_text().encode())
        rows = db.execute("SELECT version, revision FROM hodei_schema").fetchall()
        assert rows == [(schema.VERSION, schema.REVISION)]
