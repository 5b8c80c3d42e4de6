"""What somebody else has put on our tables is named by a check, and is no reason to fail it unless
it refuses all changes."""

import pytest

from hodei.store import schema_check
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
    db.execute("CREATE INDEX theirs_by_name ON jobs (name)")
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
