"""Days are made ahead, and what is old goes in order; through `hodei db maintain`. The hot tables
are vacuumed."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from hodei.cli.db import maintain
from hodei.flow.maintain import Maintainer
from hodei.store import dead_rows
from hodei.store.database import Connection as AsyncConnection
from hodei.store.database import Database
from tests.conftest import Connection
from tests.factories import on, pending_job

pytestmark = pytest.mark.usefixtures("one_day")


def ran(url: str, days: int = 30) -> dict[str, Any]:
    result = CliRunner().invoke(
        maintain, ["--database-url", url, "--keep-days", str(days), "--format", "json"]
    )
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.output)
    return report


def day(days_ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days_ago)).strftime("%Y%m%d")


def make_day(db: Connection, days_ago: int) -> None:
    """As maintenance would have made it then."""
    at = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(
        days=days_ago
    )
    for parent in ("domain_events", "job_logs"):
        db.execute(
            f"CREATE TABLE {parent}_{at:%Y%m%d} PARTITION OF {parent} FOR VALUES FROM ('{at}') TO ('{at + timedelta(days=1)}')".encode()
        )


def job(db: Connection, days_ago: int, *, ended: bool = True, log: bool = False) -> uuid.UUID:
    ((job_id,),) = db.execute("""SELECT hodei_enqueue('{"command": "true"}')""").fetchall()
    past = timedelta(days=days_ago)
    db.execute(
        "UPDATE jobs SET created_at = created_at - %s, updated_at = updated_at - %s WHERE id = %s",
        [past, past, job_id],
    )
    db.execute(
        "UPDATE domain_events SET occurred_at = occurred_at - %s WHERE aggregate_id = %s",
        [past, str(job_id)],
    )
    if ended:
        db.execute("DELETE FROM job_queue WHERE job_id = %s", [job_id])
        db.execute(
            "UPDATE jobs SET state = 'SUCCEEDED', completed_at = updated_at WHERE id = %s", [job_id]
        )
    if log:
        db.execute(
            "INSERT INTO job_logs (job_id, lease, seq, attempt, stream, byte_offset, first_line, read_at, data, stored_at) "
            "VALUES (%s, 1, 0, 1, 1, 0, 1, now(), 'x', clock_timestamp() - %s)",
            [job_id, past],
        )
    found: uuid.UUID = job_id
    return found


def count(db: Connection, table: str) -> int:
    ((found,),) = db.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()
    return int(found)


def test_days_stand_a_week_ahead(db: Connection, database_url: str) -> None:
    names = {
        row[0]
        for row in db.execute("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
    }
    for ahead in range(8):
        assert {f"domain_events_{day(-ahead)}", f"job_logs_{day(-ahead)}"} <= names
    db.execute(f"DROP TABLE job_logs_{day(-7)}".encode())
    assert ran(database_url)["days_made"] == 1
    assert ran(database_url)["days_made"] == 0


def test_final_jobs_go_and_then_their_days(db: Connection, database_url: str) -> None:
    for days_ago in (50, 40, 20):
        make_day(db, days_ago)
    job(db, 40, log=True)
    job(db, 50)
    young = job(db, 20, log=True)
    report = ran(database_url)
    assert report["jobs_deleted"] == 2
    assert sorted(report["days_dropped"]) == [
        f"{t}_{day(d)}" for t in ("domain_events", "job_logs") for d in (50, 40)
    ]
    assert db.execute("SELECT id FROM jobs").fetchall() == [(young,)]
    assert db.execute("SELECT aggregate_id FROM domain_events").fetchall() == [(str(young),)]
    assert db.execute("SELECT job_id FROM job_logs").fetchall() == [(young,)]


def test_a_day_with_the_story_of_a_job_that_lives_stays_and_is_named(
    db: Connection, database_url: str
) -> None:
    make_day(db, 40)
    make_day(db, 41)
    alive = job(db, 40, ended=False, log=True)
    job(db, 40)
    report = ran(database_url)
    assert report["days_held"] == {
        f"domain_events_{day(40)}": str(alive),
        f"job_logs_{day(40)}": str(alive),
    }
    assert sorted(report["days_dropped"]) == [f"domain_events_{day(41)}", f"job_logs_{day(41)}"]
    assert db.execute("SELECT id FROM jobs").fetchall() == [(alive,)]
    words = CliRunner().invoke(maintain, ["--database-url", database_url]).output
    assert f"domain_events_{day(40)} stays, because job {alive} has its events or its log" in words
    assert "Deleted what is older than 30 days: 0 final jobs, 0 terminated workers, " in words


def test_workers_and_tokens_that_are_long_dead_go(db: Connection, database_url: str) -> None:
    for state, age in (("TERMINATED", 40), ("TERMINATED", 20), ("READY", 40)):
        db.execute(
            """
            INSERT INTO workers (id, state, updated_at)
            VALUES (gen_random_uuid(), %s, now() - make_interval(days => %s))
            """,
            [state, age],
        )
    for expired, consumed in ((40, None), (20, None), (-1, 40), (-1, None)):
        db.execute(
            """
            INSERT INTO worker_bootstrap_tokens (expires_at, consumed_at)
            VALUES (now() - make_interval(days => %s), now() - make_interval(days => %s))
            """,
            [expired, consumed],
        )
    report = ran(database_url)
    assert (report["workers_deleted"], report["tokens_deleted"]) == (1, 2)
    assert (count(db, "workers"), count(db, "worker_bootstrap_tokens")) == (2, 2)


def test_nothing_goes_where_everything_is_kept(db: Connection, database_url: str) -> None:
    make_day(db, 400)
    job(db, 400)
    report = ran(database_url, days=0)
    assert (report["jobs_deleted"], report["days_dropped"]) == (0, [])
    assert count(db, "jobs") == 1


def test_what_came_while_no_day_was_ready_is_told_and_moves(
    db: Connection, database_url: str
) -> None:
    db.execute(f"DROP TABLE domain_events_{day(0)}".encode())
    job(db, 0)
    assert count(db, "domain_events_default") == 1
    job(db, 100)
    report = ran(database_url)
    assert (report["days_made"], report["stray_events"]) == (1, 1), (
        "of long ago: no day is made for it"
    )
    assert count(db, f"domain_events_{day(0)}") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE {part} (a integer)",
        "CREATE TABLE {part} (LIKE {parent}, other integer)",
        "CREATE VIEW {part} AS SELECT 1 AS one",
        "CREATE DOMAIN {part} AS integer",
        "CREATE INDEX {part} ON jobs (id)",
        "CREATE TABLE theirs PARTITION OF {parent} FOR VALUES FROM ('{at}') TO ('{end}')",
    ],
)
@pytest.mark.parametrize("parent", ["domain_events", "job_logs"])
def test_what_has_the_name_or_the_rows_of_a_day_keeps_no_other_from_being_made(
    db: Connection, database_url: str, parent: str, statement: str
) -> None:
    """Nor what is old from going."""
    made, later = f"SELECT to_regclass('{parent}_{day(-9)}') IS NOT NULL", f"{parent}_{day(-10)}"
    at = datetime.now(UTC).date() + timedelta(days=10)
    names = {"part": later, "parent": parent, "at": at, "end": at + timedelta(days=30)}
    db.execute(statement.format(**names).encode())
    db.execute("SELECT hodei_make_days(12)")
    db.execute(f"DROP TABLE {parent}_{day(-9)}, {parent}_{day(-8)}".encode())
    make_day(db, 60)
    report = ran(database_url)
    assert (report["days_made"], len(report["days_dropped"])) == (1, 2)
    db.execute("SELECT hodei_make_days(12)")
    assert db.execute(made.encode()).fetchone() == (True,)


def test_a_partition_that_is_no_day_is_left_alone(db: Connection, database_url: str) -> None:
    """The end of its name may be no date, or be that of a day under another name."""
    names = ("job_logs_20261301", "theirs_20010101", "job_logs_x")
    for year, name in enumerate(names, start=2001):
        db.execute(
            f"CREATE TABLE {name} PARTITION OF job_logs"
            f" FOR VALUES FROM ('{year}-01-01') TO ('{year}-02-01')".encode()
        )
    make_day(db, 60)
    assert len(ran(database_url)["days_dropped"]) == 2


def test_a_reader_in_the_way_delays_a_drop_and_no_insert(db: Connection, database_url: str) -> None:
    make_day(db, 40)

    async def once() -> Any:
        async with Database(database_url) as database:
            return await Maintainer(database, 30, tries=2).once()

    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM domain_events")
        report = asyncio.run(once())
        assert report.days_busy == [f"domain_events_{day(40)}"]
        db.execute("SET lock_timeout = '1s'")
        job(db, 0)
    assert asyncio.run(once()).days_dropped == [f"domain_events_{day(40)}"]


@pytest.mark.parametrize("flag", ["-1", "x"])
def test_a_wrong_number_of_days_is_one_message(flag: str) -> None:
    result = CliRunner().invoke(
        maintain, ["--database-url", "postgres://localhost/x", "--keep-days", flag]
    )
    assert result.exit_code == 2
    assert "--keep-days" in result.output


def test_the_hot_tables_are_vacuumed_whoever_else_is_at_it(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        for _ in range(20):
            await pending_job(conn)
        await conn.execute("DELETE FROM job_queue")
        await dead_rows.vacuum(conn)

    on(database_url, story)
    db.execute("SELECT pg_stat_force_next_flush()")
    assert db.execute(
        "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname IN ('job_queue', 'leases')"
    ).fetchall() == [(1,), (1,)]
