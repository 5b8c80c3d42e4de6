"""The schema is whole or not: what has the right name and another definition is named and made
again, or left to a person."""

import asyncio
import re

import pytest
from loguru import logger

from hodei.domain.errors import Conflict
from hodei.store import catalog, schema, schema_check
from hodei.store.gaps import BY_HAND
from tests.conftest import Connection
from tests.store.test_schema import CATALOG

STANDS = "schema version 1.6 stands; nothing to do"

OTHER = {
    "function hodei_enqueue(jsonb)": "ALTER FUNCTION hodei_enqueue(jsonb) RESET ALL",
    "function hodei_create_jobs(jsonb)": (
        "ALTER FUNCTION hodei_create_jobs(jsonb) RESET enable_seqscan"
    ),
    "function hodei_uuid7()": (
        "CREATE OR REPLACE FUNCTION hodei_uuid7() RETURNS uuid LANGUAGE sql"
        " RETURN gen_random_uuid()"
    ),
    "function hodei_ms(jsonb)": "ALTER FUNCTION hodei_ms(jsonb) VOLATILE",
    "function hodei_spec_object(jsonb)": "ALTER FUNCTION hodei_spec_object(jsonb) STRICT",
    "function hodei_drop_day(text, date)": "ALTER FUNCTION hodei_drop_day SECURITY INVOKER",
    "function hodei_token_fingerprint(uuid)": (
        "ALTER FUNCTION hodei_token_fingerprint(uuid) PARALLEL UNSAFE"
    ),
    "index job_queue_ready": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'job_queue_ready'::regclass"
    ),
    "index jobs_by_correlation": (
        "DROP INDEX jobs_by_correlation; CREATE INDEX jobs_by_correlation ON jobs (id)"
    ),
    "index job_queue_waiting": (
        "DROP INDEX job_queue_waiting; CREATE INDEX job_queue_waiting ON job_queue (ready_at)"
    ),
    "index secrets_current": (
        "DROP INDEX secrets_current;"
        " CREATE INDEX secrets_current ON secrets (project, name) WHERE ended_at IS NULL"
    ),
    "index domain_events_by_time": (
        "DROP INDEX domain_events_by_time;"
        " CREATE INDEX domain_events_by_time ON ONLY domain_events (occurred_at)"
    ),
    "constraint jobs_name_check of jobs": (
        "ALTER TABLE jobs DROP CONSTRAINT jobs_name_check,"
        " ADD CONSTRAINT jobs_name_check CHECK (name <> 'x')"
    ),
    "constraint jobs_state_check of jobs": (
        "ALTER TABLE jobs DROP CONSTRAINT jobs_state_check;"
        " ALTER TABLE jobs ADD CONSTRAINT jobs_state_check CHECK (state IN ('PENDING', 'RUNNING',"
        " 'SUCCEEDED', 'FAILED', 'CANCELLED')) NOT VALID"
    ),
    "constraint leases_job_id_key of leases": (
        "ALTER TABLE leases DROP CONSTRAINT leases_job_id_key,"
        " ADD CONSTRAINT leases_job_id_key UNIQUE (job_id, attempt)"
    ),
    "constraint secrets_pkey of secrets": (
        "ALTER TABLE secrets DROP CONSTRAINT secrets_pkey,"
        " ADD CONSTRAINT secrets_pkey PRIMARY KEY (version)"
    ),
    "constraint job_logs_stream_check of job_logs": (
        "ALTER TABLE job_logs DROP CONSTRAINT job_logs_stream_check,"
        " ADD CONSTRAINT job_logs_stream_check CHECK (stream > 0)"
    ),
    "default of jobs.state": "ALTER TABLE jobs ALTER state SET DEFAULT 'RUNNING'",
    "default of jobs.lease": "ALTER TABLE jobs ALTER lease SET DEFAULT 1",
    "column leases.accepted_at": "ALTER TABLE leases ALTER accepted_at SET NOT NULL",
    "sequence hodei_lease_seq": "ALTER SEQUENCE hodei_lease_seq OWNED BY jobs.lease",
    "sequence domain_events_id_seq": "ALTER SEQUENCE domain_events_id_seq AS integer CYCLE",
    "table leases": "ALTER TABLE leases SET UNLOGGED",
    "table domain_events_default": "ALTER TABLE domain_events_default SET UNLOGGED",
    "view job_events": (
        "CREATE OR REPLACE VIEW job_events AS SELECT id AS job_id, ''::text AS event_type,"
        " '{}'::jsonb AS payload, now() AS occurred_at FROM jobs"
    ),
    "trigger token_created of worker_bootstrap_tokens": (
        "CREATE OR REPLACE TRIGGER token_created AFTER DELETE ON worker_bootstrap_tokens"
        " FOR EACH ROW EXECUTE FUNCTION hodei_token_created()"
    ),
}


@pytest.mark.usefixtures("one_day")
def test_each_thing_that_is_otherwise_is_named_and_mended(
    db: Connection, database_url: str
) -> None:
    """And one statement after the other leaves no trace."""
    whole = db.execute(CATALOG).fetchall()
    definitions = catalog.read(db, everything=True)
    db.execute("GRANT SELECT ON job_events TO PUBLIC")
    for what, statement in OTHER.items():
        db.execute(statement.encode())
        stands, words = schema_check.check_sync(database_url)
        assert (stands, words.count("\n")) == (False, 0), (statement, words)
        assert words.startswith(f"{what} is not as this release makes it: "), (statement, words)
        assert schema.apply_sync(database_url) == "applied schema version 1.6", statement
        assert schema_check.check_sync(database_url) == (True, "schema version 1.6 stands"), (
            statement
        )
    for statement in OTHER.values():
        db.execute(statement.encode())
    assert schema_check.check_sync(database_url).words.count("\n") == 10
    schema.apply_sync(database_url)
    assert catalog.read(db, everything=True) == definitions
    assert {row[:3] for row in db.execute(CATALOG).fetchall()} == {row[:3] for row in whole}
    assert db.execute(
        "SELECT has_table_privilege('public', 'job_events', 'SELECT')"
    ).fetchone() == (True,), "a view that is replaced keeps its grants"


def test_what_only_a_person_can_mend_is_said_and_a_server_starts(
    db: Connection, database_url: str
) -> None:
    """The rest is mended."""
    db.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
    db.execute("ALTER TABLE jobs ALTER priority TYPE bigint, ALTER spec DROP NOT NULL")
    db.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_name_check")
    db.execute("ALTER TABLE leases DROP CONSTRAINT leases_pkey")
    db.execute("ALTER TABLE leases ADD CONSTRAINT leases_pkey PRIMARY KEY (lease, job_id)")
    db.execute("ALTER TABLE job_queue DROP CONSTRAINT job_queue_waiting_check")
    db.execute("ALTER TABLE job_queue ADD CONSTRAINT job_queue_waiting_check CHECK (priority = 0)")
    db.execute("UPDATE job_queue SET waiting = 'ODD', ready_at = 'infinity'")
    typed = (
        "column jobs.priority is not as this release makes it: it is of type bigint,"
        " expected integer"
    )
    broken = "constraint job_queue_waiting_check of job_queue is not as this release makes it"
    with pytest.raises(Conflict) as raised:
        schema.apply_sync(database_url)
    words = str(raised.value)
    assert words.startswith(
        f"applied schema version 1.6; {typed}{BY_HAND}; {broken}: expected CHECK"
    )
    assert 'job_queue_waiting_check" of relation "job_queue" is violated by some row)' in words
    stands, words = schema_check.check_sync(database_url)
    assert (stands, [line.partition(":")[0] for line in words.splitlines()]) == (
        False,
        [typed.partition(":")[0], broken],
    )
    assert asyncio.run(schema.ensure(database_url)) == STANDS
    db.execute("UPDATE job_queue SET waiting = 'RUN_AT'")
    with pytest.raises(Conflict, match=f"^applied schema version 1.6; {typed}{BY_HAND}$"):
        schema.apply_sync(database_url)
    assert asyncio.run(schema.ensure(database_url)) == STANDS
    assert schema_check.check_sync(database_url) == (False, typed + BY_HAND)


def test_a_server_makes_what_is_missing_and_leaves_what_is_otherwise(
    db: Connection, database_url: str
) -> None:
    """To build an index anew locks its table, and somebody may be building it just now. A server
    warns once, although it looks each hour."""
    db.execute("DROP INDEX jobs_by_correlation; CREATE INDEX jobs_by_correlation ON jobs (id)")
    db.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_name_check")
    db.execute("ALTER TABLE jobs ADD CONSTRAINT jobs_name_check CHECK (name <> 'x')")
    theirs = "SELECT 'jobs_by_correlation'::regclass::oid, to_json(k) FROM pg_constraint k"
    before = db.execute(f"{theirs} WHERE conname = 'jobs_name_check'".encode()).fetchall()
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message}")
    try:
        for _ in range(2):
            assert asyncio.run(schema.ensure(database_url)) == STANDS
        db.execute("DROP INDEX job_queue_ready; DROP FUNCTION hodei_ms CASCADE")
        assert asyncio.run(schema.ensure(database_url)) == "applied schema version 1.6"
    finally:
        logger.remove(sink)
    assert db.execute(f"{theirs} WHERE conname = 'jobs_name_check'".encode()).fetchall() == before
    stands, words = schema_check.check_sync(database_url)
    assert (stands, words.splitlines()) == (False, [line.rstrip() for line in lines])
    assert [line.partition(" is not as this release makes it: ")[0] for line in lines] == [
        "constraint jobs_name_check of jobs",
        "index jobs_by_correlation",
    ]
    assert all(line.endswith("; run `hodei db apply`\n") for line in lines)
    schema.apply_sync(database_url)
    assert schema_check.check_sync(database_url).stands


@pytest.mark.parametrize("name", ["hodei_lease_seq", "domain_events_id_seq"])
def test_a_sequence_near_its_end_is_named_and_moved_back(
    db: Connection, database_url: str, name: str
) -> None:
    """By its owner, and by the function that a server's role may call."""
    used_up = f"sequence {name} is not as this release makes it: its numbers are used up"
    drawn = f"SELECT nextval('{name}') BETWEEN 1700000000000000 AND 9000000000000000".encode()
    for value in (3 << 60, (1 << 63) - 1):
        db.execute("SELECT setval(%s, %s)", [name, value])
        assert schema_check.check_sync(database_url).words.startswith(used_up)
        assert schema.apply_sync(database_url) == "applied schema version 1.6"
        assert schema_check.check_sync(database_url).stands
        assert db.execute(drawn).fetchone() == (True,)
        db.execute("SELECT setval(%s, %s)", [name, value])
        assert db.execute("SELECT hodei_pass_live_leases()").fetchone() == (True,)
        assert db.execute("SELECT hodei_pass_live_leases()").fetchone() == (False,)
        assert db.execute(drawn).fetchone() == (True,)


def test_an_unlogged_sequence_or_day_is_named_and_logged_again(
    db: Connection, database_url: str
) -> None:
    """After a crash the sequence would begin anew and give numbers of leases again."""
    ((day,),) = db.execute(
        "SELECT min(relname) FROM pg_class WHERE relname ~ '^job_logs_[0-9]{8}$'"
    ).fetchall()
    db.execute(f"ALTER TABLE {day} SET UNLOGGED".encode())
    db.execute("ALTER SEQUENCE hodei_lease_seq SET UNLOGGED")
    words = schema_check.check_sync(database_url).words
    for what in (f"table {day}", "sequence hodei_lease_seq"):
        assert f"{what} is not as this release makes it: it is UNLOGGED" in words
    assert schema.apply_sync(database_url) == "applied schema version 1.6"
    assert schema_check.check_sync(database_url).stands
    left = "SELECT count(*) FROM pg_class WHERE relpersistence = 'u'"
    assert db.execute(left.encode()).fetchone() == (0,)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "CREATE RULE theirs AS ON INSERT TO job_logs DO INSTEAD NOTHING",
            "rule theirs of job_logs is not as this release makes it: PostgreSQL refuses our"
            " statements on a table with rules: DROP RULE theirs ON job_logs",
        ),
        (
            "ALTER TABLE leases ADD COLUMN theirs integer NOT NULL",
            "column leases.theirs is not as this release makes it: it is of somebody else, and"
            " refuses all rows that Hodei writes: ALTER TABLE leases ALTER theirs DROP NOT NULL",
        ),
    ],
)
def test_what_somebody_has_put_on_a_table_and_refuses_all_rows_is_named(
    db: Connection, database_url: str, statement: str, words: str
) -> None:
    db.execute("ALTER TABLE leases ADD COLUMN harmless integer NOT NULL DEFAULT 1")
    db.execute("CREATE TABLE theirs (a integer)")
    db.execute("CREATE RULE theirs AS ON INSERT TO theirs DO INSTEAD NOTHING")
    assert schema_check.check_sync(database_url).stands
    db.execute(statement.encode())
    stands, said = schema_check.check_sync(database_url)
    assert (stands, said.splitlines()[0]) == (False, words + BY_HAND)
    with pytest.raises(Conflict, match=re.escape(words)):
        schema.apply_sync(database_url)
    assert asyncio.run(schema.ensure(database_url)) == "schema version 1.6 stands; nothing to do"


def test_what_others_built_on_ours_is_left_alone(db: Connection, database_url: str) -> None:
    db.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_pkey")
    db.execute("ALTER TABLE jobs ADD CONSTRAINT jobs_pkey PRIMARY KEY (id) DEFERRABLE")
    db.execute("ALTER INDEX jobs_of_project SET (fillfactor = 50)")
    db.execute("CREATE TABLE theirs (job_id uuid)")
    db.execute("ALTER TABLE jobs ADD CONSTRAINT one UNIQUE (id)")
    db.execute("ALTER TABLE theirs ADD FOREIGN KEY (job_id) REFERENCES jobs (id)")
    db.execute("ALTER TABLE jobs DROP CONSTRAINT one CASCADE")
    schema.apply_sync(database_url)
    db.execute("ALTER TABLE theirs ADD FOREIGN KEY (job_id) REFERENCES jobs (id)")
    db.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'jobs_pkey'::regclass")
    with pytest.raises(Conflict, match="cannot drop constraint jobs_pkey on table jobs because"):
        schema.apply_sync(database_url)


@pytest.mark.parametrize(
    ("change", "checked", "applied"),
    [
        (
            "DROP FUNCTION hodei_uuid7(); CREATE FUNCTION hodei_uuid7() RETURNS text LANGUAGE sql"
            " RETURN 'x'",
            "function hodei_uuid7() is not as this release makes it",
            "Use DROP FUNCTION hodei_uuid7() first, then repeat this",
        ),
        (
            "DROP FUNCTION hodei_uuid7(); CREATE PROCEDURE hodei_uuid7() LANGUAGE sql AS 'SELECT'",
            "missing: function hodei_uuid7()",
            "cannot change routine kind; missing: function hodei_uuid7()",
        ),
        (
            "DROP TABLE hodei_servers; CREATE VIEW hodei_servers AS SELECT 1 AS one",
            "missing: table hodei_servers",
            "missing: table hodei_servers",
        ),
        (
            "DROP INDEX jobs_by_correlation; CREATE INDEX jobs_by_correlation ON workers (id)",
            "missing: index jobs_by_correlation",
            "missing: index jobs_by_correlation; nothing was changed: another object may have",
        ),
    ],
)
def test_what_has_a_name_of_ours_and_cannot_be_replaced_is_named(
    db: Connection, database_url: str, change: str, checked: str, applied: str
) -> None:
    db.execute(change.encode())
    assert schema_check.check_sync(database_url).words.startswith(checked)
    with pytest.raises(Conflict, match=re.escape(applied)):
        schema.apply_sync(database_url)
