"""What somebody else has put on our tables is named by a check, and is no reason to fail it unless
it refuses all changes."""

from pathlib import Path

import psycopg
import pytest

from hodei.store import schema, schema_check
from tests.conftest import Connection

STANDS = "schema version 1.6 stands"

FUNCTION = (
    "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
)

ON_OURS = {
    "trigger theirs of jobs is not Hodei's: it can refuse, swallow or hold up rows": (
        f"{FUNCTION} CREATE TRIGGER theirs BEFORE UPDATE ON jobs"
        " FOR EACH ROW EXECUTE FUNCTION theirs()"
    ),
    "trigger theirs of domain_events is not Hodei's: it can refuse, swallow or hold up rows": (
        f"{FUNCTION} CREATE TRIGGER theirs BEFORE INSERT ON domain_events"
        " FOR EACH ROW EXECUTE FUNCTION theirs()"
    ),
    "constraint theirs of leases is not Hodei's: it can refuse rows": (
        "ALTER TABLE leases ADD CONSTRAINT theirs CHECK (attempt > 5)"
    ),
    "constraint theirs of domain_events is not Hodei's: it can refuse rows": (
        "ALTER TABLE domain_events ADD CONSTRAINT theirs CHECK (actor <> 'x')"
    ),
    "constraint theirs of job_queue is not Hodei's: it can refuse rows": (
        "ALTER TABLE job_queue ADD CONSTRAINT theirs FOREIGN KEY (job_id) REFERENCES jobs (id)"
    ),
    "constraint theirs of workers is not Hodei's: it can refuse rows": (
        "ALTER TABLE workers ADD CONSTRAINT theirs EXCLUDE (name WITH =)"
    ),
    'index "Theirs" of leases is not Hodei\'s: it is unique, and can refuse rows': (
        'CREATE UNIQUE INDEX "Theirs" ON leases (worker_id)'
    ),
    "constraint theirs_job_id_fkey of theirs is not Hodei's: it refers to jobs, and can keep its"
    " rows from being deleted": "CREATE TABLE theirs (job_id uuid REFERENCES jobs (id))",
    "table theirs is not Hodei's: it inherits from jobs, and its rows count as of that": (
        "CREATE TABLE theirs () INHERITS (jobs)"
    ),
    "index theirs of jobs is not Hodei's: each write takes longer, and it can refuse long values": (
        "CREATE INDEX theirs ON jobs (name)"
    ),
    "index theirs of job_logs_default is not Hodei's: it has an expression, which can refuse rows or"
    " hold them up": "CREATE INDEX theirs ON job_logs_default ((1 / seq))",
    "index theirs of domain_events is not Hodei's: it has an expression, which can refuse rows or"
    " hold them up": "CREATE INDEX theirs ON domain_events (id) WHERE 1 / id > 0",
    "column theirs of jobs is not Hodei's: what gives it a value can refuse rows or hold them up": (
        "ALTER TABLE jobs ADD theirs integer GENERATED ALWAYS AS (1 / priority) STORED"
    ),
    "column theirs of leases is not Hodei's: what gives it a value can refuse rows or hold them up": (
        "ALTER TABLE leases ADD theirs smallint GENERATED ALWAYS AS IDENTITY"
    ),
    "column theirs of workers is not Hodei's: what gives it a value can refuse rows or hold them up": (
        "ALTER TABLE workers ADD theirs integer NOT NULL DEFAULT 1 / (random() * 5)::integer"
    ),
    "column theirs of secrets is not Hodei's: its domain can refuse rows": (
        "CREATE DOMAIN theirs AS integer NOT NULL; ALTER TABLE secrets ADD theirs theirs"
    ),
    "column theirs of domain_events is not Hodei's: no row that Hodei writes has a value for it": (
        "ALTER TABLE domain_events ADD theirs text"
    ),
    "policy theirs of jobs is not Hodei's: it can hide or refuse rows": (
        "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY; CREATE POLICY theirs ON jobs"
    ),
    "event trigger theirs is not Hodei's: it can refuse the partitions that servers make and drop": (
        "CREATE FUNCTION theirs() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;"
        "CREATE EVENT TRIGGER theirs ON ddl_command_start EXECUTE FUNCTION theirs()"
    ),
    "function hodei_enqueue(text) is not Hodei's: a call of ours can find it instead": (
        "CREATE FUNCTION hodei_enqueue(spec text) RETURNS text LANGUAGE sql AS 'SELECT $1'"
    ),
    "publication theirs is not Hodei's: it filters rows or columns of jobs, by which PostgreSQL may"
    " refuse changes": "CREATE PUBLICATION theirs FOR TABLE jobs WHERE (name <> 'x')",
}


@pytest.mark.parametrize("words", ON_OURS)
def test_what_is_on_our_tables_is_named(db: Connection, database_url: str, words: str) -> None:
    assert schema_check.check_sync(database_url) == (True, STANDS)
    db.execute(ON_OURS[words].encode())
    assert schema_check.check_sync(database_url) == (True, f"{STANDS}\nnote: {words}")


def test_what_cannot_disturb_us_is_not_named(db: Connection, database_url: str) -> None:
    db.execute(f"{FUNCTION} CREATE TABLE theirs (a integer CHECK (a > 0))".encode())
    db.execute(
        "CREATE TRIGGER theirs BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION theirs();"
        "ALTER TABLE jobs DISABLE TRIGGER theirs"
    )
    db.execute("CREATE TABLE other (job_id uuid REFERENCES jobs (id) ON DELETE CASCADE)")
    db.execute("CREATE INDEX theirs_too ON theirs (a); CREATE POLICY theirs ON jobs")
    db.execute("CREATE FUNCTION hodei_theirs() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    db.execute("CREATE PUBLICATION theirs FOR ALL TABLES")
    db.execute("CREATE STATISTICS theirs_too ON name, actor FROM jobs")
    assert schema_check.check_sync(database_url) == (True, STANDS)


def test_a_publication_by_which_all_changes_are_refused_fails_the_check(
    db: Connection, database_url: str
) -> None:
    db.execute(
        "CREATE PUBLICATION theirs FOR ALL TABLES; ALTER TABLE leases REPLICA IDENTITY NOTHING"
    )
    words = "publication theirs publishes changes of table leases, which has no replica identity"
    stands, said = schema_check.check_sync(database_url)
    assert (stands, words in said) == (False, True)
    db.execute("ALTER TABLE leases REPLICA IDENTITY DEFAULT")
    assert schema_check.check_sync(database_url) == (True, STANDS)


def test_many_are_counted(db: Connection, database_url: str) -> None:
    for n in range(25):
        db.execute(f"ALTER TABLE leases ADD CONSTRAINT theirs{n} CHECK (attempt <> {n})".encode())
    words = schema_check.check_sync(database_url).words.splitlines()
    assert (len(words), words[-1]) == (22, "note: 5 more of that kind")


@pytest.mark.parametrize("revision", range(1, 6))
def test_nothing_of_an_older_release_is_taken_for_somebodys(
    empty_database_url: str, revision: int
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute((Path(__file__).parent / f"schema-1.{revision}.sql").read_bytes())
        schema.apply_sync(empty_database_url)
        conn.execute("SELECT hodei_make_days()")
    assert schema_check.check_sync(empty_database_url) == (True, STANDS)
