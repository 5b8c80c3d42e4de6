"""The schema is whole or not: what is gone is named and made again, and two releases leave each
other alone."""

import asyncio
import re
from pathlib import Path

import pytest

from hodei.domain.errors import Conflict
from hodei.flow.maintain import Maintainer
from hodei.store import catalog, schema, schema_check
from hodei.store.database import Database
from hodei.store.expected import expected
from tests.conftest import Connection
from tests.eventually import eventually
from tests.running import Hodei
from tests.store import fresh_catalog
from tests.store.test_definitions import OTHER
from tests.store.test_schema import CATALOG


def test_the_catalog_that_programs_compare_with_is_schema_sqls_own(empty_database_url: str) -> None:
    assert fresh_catalog.of_fresh_schema(empty_database_url) == fresh_catalog.PLACE.read_text(), (
        "run tools/catalog"
    )


def test_what_this_program_calls_is_what_it_says(db: Connection) -> None:
    """Of a newer revision only these are asked for."""
    store = Path(catalog.__file__).parent
    called = set()
    for path in store.glob("*.py"):
        if path.name != "spec_sql.py":
            called |= set(re.findall(r"\b(hodei_[a-z0-9_]+)\(", path.read_text()))
    assert called <= set(catalog.CALLED)
    assert set(catalog.CALLED) <= {name.partition("(")[0] for name in expected()["functions"]}


GONE = [
    *(f"DROP FUNCTION {name} CASCADE" for name in expected()["functions"]),
    *(f"DROP INDEX {key.partition('.')[2]}" for key in expected()["indexes"]),
    *(f"DROP SEQUENCE {name} CASCADE" for name in expected()["sequences"]),
    *(f"DROP VIEW {name}" for name in expected()["views"]),
    *(
        "ALTER TABLE {} DROP CONSTRAINT {}".format(*key.split("."))
        for key in expected()["constraints"]
    ),
    *("DROP TRIGGER {1} ON {0}".format(*key.split(".")) for key in expected()["triggers"]),
    *(
        f"ALTER TABLE {table} DROP COLUMN {column} CASCADE"
        for table, columns in expected()["tables"].items()
        for column in columns
        if (table, column)
        not in {
            ("domain_events", "occurred_at"),
            ("job_logs", "stored_at"),
            ("hodei_schema", "revision"),
        }
    ),
    "ALTER TABLE jobs ALTER created_at DROP DEFAULT",
    "ALTER TABLE jobs ALTER spec DROP NOT NULL",
]
"""The columns by which days are cut cannot be dropped; a schema without `revision` is of the first
one, and is upgraded."""


@pytest.mark.long
@pytest.mark.usefixtures("one_day")
def test_each_thing_that_is_gone_is_named_and_mended(db: Connection, database_url: str) -> None:
    whole = db.execute(CATALOG).fetchall()
    for statement in GONE:
        db.execute(statement.encode())
        stands, words = schema_check.check_sync(database_url)
        assert not stands, statement
        name = statement.removesuffix(" CASCADE").split()[-1].partition("(")[0]
        assert words.startswith("missing: "), statement
        if statement.startswith(("DROP", "ALTER TABLE")) and name not in ("DEFAULT", "NULL"):
            assert name.split(".")[-1] in words or "DROP TRIGGER" in statement, (statement, words)
        assert schema.apply_sync(database_url) == "applied schema version 1.6", statement
        assert schema_check.check_sync(database_url) == (True, "schema version 1.6 stands"), (
            statement
        )
    assert {row[:3] for row in db.execute(CATALOG).fetchall()} == {row[:3] for row in whole}
    db.execute("""SELECT hodei_enqueue('{"command": "true"}')""")


def test_what_rows_do_not_fit_is_said(db: Connection, database_url: str) -> None:
    db.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
    db.execute("ALTER TABLE jobs DROP COLUMN spec")
    with pytest.raises(
        Conflict, match=r"column jobs\.spec is gone, and the rows that stand do not fit it"
    ):
        schema.apply_sync(database_url)


def test_a_running_server_heals_what_it_trips_over(fresh: Hodei) -> None:
    for gone in (
        "DROP FUNCTION hodei_create_jobs(jsonb)",
        "DROP SEQUENCE hodei_lease_seq",
        "DROP INDEX job_queue_ready",
    ):
        fresh.sql(gone)
    assert fresh.submit("--command", "true")
    eventually(lambda: schema_check.check_sync(fresh.url)[0], 30)
    fresh.sql("ALTER TABLE hodei_listening DROP CONSTRAINT hodei_listening_pkey")
    eventually(lambda: schema_check.check_sync(fresh.url)[0], 30)


def test_a_maintainer_looks_for_what_nobody_trips_over(db: Connection, database_url: str) -> None:
    db.execute("DROP INDEX jobs_by_correlation")

    async def begin() -> None:
        async with Database(database_url) as database, asyncio.TaskGroup() as group:
            healed = asyncio.Event()

            async def heal() -> None:
                await schema.ensure(database_url)
                healed.set()

            task = group.create_task(Maintainer(database, 30, heal=heal).run())
            await asyncio.wait_for(healed.wait(), 20)
            task.cancel()

    asyncio.run(begin())
    assert schema_check.check_sync(database_url)[0]


def test_two_releases_do_not_mend_each_other(db: Connection, database_url: str) -> None:
    """A newer revision may have other bodies, indexes, constraints and triggers; what this program
    calls is there."""
    for change in (
        *OTHER.values(),
        "UPDATE hodei_schema SET revision = 99",
        "DROP INDEX jobs_by_correlation",
        "DROP TRIGGER token_created ON worker_bootstrap_tokens",
        "DROP TRIGGER credential_changed ON workers",
        "CREATE OR REPLACE FUNCTION hodei_uuid7() RETURNS uuid LANGUAGE sql RETURN gen_random_uuid()",
        "ALTER TABLE jobs DROP CONSTRAINT jobs_state_check",
        "ALTER TABLE jobs ADD COLUMN newer text",
        "DROP FUNCTION hodei_ms",
    ):
        db.execute(change.encode())
    before = db.execute(CATALOG).fetchall()
    assert schema_check.check_sync(database_url) == (True, "schema version 1.99 stands")
    assert schema.apply_sync(database_url) == "schema version 1.99 stands; nothing to do"
    assert db.execute(CATALOG).fetchall() == before
    db.execute("DROP FUNCTION hodei_create_jobs")
    stands, words = schema_check.check_sync(database_url)
    assert (stands, words) == (
        False,
        "missing: function hodei_create_jobs(jsonb); run `hodei db apply`",
    )
    with pytest.raises(Conflict, match=r"run `hodei db apply` of the newer program"):
        schema.apply_sync(database_url)
