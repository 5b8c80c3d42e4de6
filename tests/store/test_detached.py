"""Partitions that a hand has detached are attached again."""

from datetime import UTC, datetime, timedelta

import pytest

from hodei.store import schema, schema_check
from tests.conftest import Connection

pytestmark = pytest.mark.usefixtures("one_day")

ATTACHED = "SELECT count(*) FROM pg_inherits WHERE inhparent = %s::regclass"


def count(db: Connection, table: str) -> int:
    return int(db.execute(ATTACHED, [table]).fetchall()[0][0])


@pytest.mark.parametrize("table", ["domain_events", "job_logs"])
def test_the_partition_of_what_no_day_takes(db: Connection, database_url: str, table: str) -> None:
    before = count(db, table)
    db.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_default".encode())
    found = schema_check.check_sync(database_url)
    assert not found.stands
    assert f"partition {table}_default (it is detached)" in found.words
    schema.apply_sync(database_url)
    assert schema_check.check_sync(database_url).stands
    assert count(db, table) == before


@pytest.mark.parametrize("days", [[2], range(9)], ids=["one", "all"])
def test_days(db: Connection, days: list[int]) -> None:
    db.execute('SELECT hodei_enqueue(\'{"command": "true"}\')')
    before = count(db, "domain_events")
    for day in days:
        part = f"domain_events_{datetime.now(UTC) + timedelta(days=day):%Y%m%d}"
        db.execute(f"ALTER TABLE domain_events DETACH PARTITION {part}".encode())
    db.execute('SELECT hodei_enqueue(\'{"command": "true"}\')')
    db.execute("SELECT hodei_make_days()")
    assert count(db, "domain_events") == before
    created = "SELECT count(*) FROM domain_events WHERE event_type = 'JobCreated'"
    assert db.execute(created.encode()).fetchall() == [(2,)]
