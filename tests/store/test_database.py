"""What the store's calls have in common: one transaction, settings that are its own, binary
parameters."""

import asyncio

import psycopg
import pytest

from hodei.domain.errors import Locked, Unavailable
from hodei.store import times
from hodei.store.database import Connection, Database
from hodei.store.parameters import Blobs
from hodei.store.statements import Call, brief_rows, guarded_rows, rows
from tests.conftest import Connection as Db
from tests.factories import on
from tests.store.test_interleavings import VERBS, prepared

WHO = "SELECT pg_current_xact_id()::text, current_setting('enable_nestloop') || ', jit ' || current_setting('jit')"


def test_guarded_calls_are_one_transaction_with_settings_of_its_own(database_url: str) -> None:
    async def story(conn: Connection) -> tuple[list[tuple[str, str]], str]:
        (first,), (second,) = await guarded_rows(conn, (WHO, {}), (WHO, {}))
        after = await (await conn.execute("SHOW enable_nestloop")).fetchone()
        assert after
        return [first, second], after[0]

    ((one, setting), (other, _)), after = on(database_url, story)
    assert one == other
    assert (setting, after) == ("off, jit off", "on")


def test_a_call_that_fails_takes_those_before_it_back(database_url: str, db: Db) -> None:
    async def story(conn: Connection) -> None:
        mint = "INSERT INTO worker_bootstrap_tokens DEFAULT VALUES RETURNING token"
        with pytest.raises(psycopg.errors.DivisionByZero):
            await guarded_rows(conn, (mint, {}), ("SELECT 1 / 0", {}))
        assert await guarded_rows(conn, ("SELECT 1", {})) == [[(1,)]], "the connection goes on"

    on(database_url, story)
    assert db.execute("SELECT count(*) FROM worker_bootstrap_tokens").fetchall() == [(0,)]


def test_blobs_arrive_as_they_are(database_url: str) -> None:
    blobs = [b"", bytes(range(256)), b"x" * 70_000]

    async def story(conn: Connection) -> object:
        return await guarded_rows(
            conn, ("SELECT unnest(%(data)s::bytea[])", {"data": Blobs(blobs)})
        )

    assert on(database_url, story) == [[(blob,) for blob in blobs]]


# ── what an error leaves behind ──


@pytest.mark.parametrize("verb", VERBS)
def test_a_statement_that_fails_leaves_nothing_on_its_connection(
    verb: str, database_url: str
) -> None:
    """A pipeline that ends at its first statement leaves the driver believing in prepared
    statements that PostgreSQL never parsed."""

    async def story() -> None:
        async with Database(database_url) as database:
            worker, job_id, offer = await database.run(lambda conn: prepared(conn, "running"))

            async def fails(conn: Connection) -> None:
                async with conn.pipeline():
                    await conn.execute("SELECT 1 / 0")
                    await VERBS[verb](conn, worker, job_id, offer)

            for _ in range(6):
                with pytest.raises(psycopg.errors.DivisionByZero):
                    await database.run(fails)
            for _ in range(8):
                await database.run(lambda conn: VERBS[verb](conn, worker, job_id, offer))

    asyncio.run(story())


def test_a_connection_that_was_ended_while_idle_is_not_used(database_url: str, db: Db) -> None:
    async def story() -> None:
        async with Database(database_url) as database:
            for _ in range(5):
                pids = {await database.run(pid) for _ in range(3)}
                for ended in pids:
                    db.execute("SELECT pg_terminate_backend(%s, 5000)", [ended])
                assert await database.run(pid) not in pids

    asyncio.run(story())


def test_a_connection_that_is_lost_in_the_middle_is_replaced_where_the_call_may_be_repeated(
    database_url: str,
) -> None:
    asked = 0

    async def dies_once(conn: Connection) -> int:
        nonlocal asked
        asked += 1
        if asked % 2:
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return await pid(conn)

    async def story() -> None:
        async with Database(database_url) as database:
            assert await database.run(dies_once, idempotent=True)
            with pytest.raises(Unavailable, match="shutting down"):
                await database.run(dies_once)

    asyncio.run(story())


def test_a_prepared_statement_that_is_gone_is_no_error(database_url: str) -> None:
    """As a pooler gives it that hands out another session, and as another form of a table."""

    async def story() -> None:
        async with Database(database_url) as database:
            for _ in range(8):
                await database.run(queued)
            await database.run(lambda conn: conn.execute("DEALLOCATE ALL"))
            await database.run(queued)
            for _ in range(8):
                await database.run(everything)
            await database.run(
                lambda conn: conn.execute("ALTER TABLE provider_configs ADD COLUMN more text")
            )
            await database.run(everything)

    asyncio.run(story())


async def pid(conn: Connection) -> int:
    return int((await rows(conn, "SELECT pg_backend_pid()"))[0][0])


async def queued(conn: Connection) -> object:
    return await rows(conn, "SELECT count(*) FROM job_queue")


async def everything(conn: Connection) -> object:
    return await rows(conn, "SELECT * FROM provider_configs")


# ── errors in words ──


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("25006", "the database is read-only"),
        ("57014", "the database cancelled the statement"),
        ("53100", "the database's disk is full"),
        ("55P03", "another transaction holds a lock"),
        ("42501", "the database role of this server lacks a right"),
        ("57P03", "the database is starting up or shutting down"),
    ],
)
def test_errors_are_told_by_their_sqlstate_and_without_detail(
    code: str, words: str, database_url: str
) -> None:
    raised = f"DO $$ BEGIN RAISE EXCEPTION 'primary' USING ERRCODE = '{code}', DETAIL = 'S3CRET', HINT = 'S3CRET'; END $$"

    async def story() -> None:
        async with Database(database_url) as database:
            with pytest.raises(Unavailable) as refusal:
                await database.run(lambda conn: conn.execute(raised.encode()))
            assert words in str(refusal.value)
            assert "S3CRET" not in str(refusal.value)
            assert isinstance(refusal.value, Locked) == (code == "55P03")

    asyncio.run(story())


def test_a_transaction_that_others_were_in_the_way_of_runs_again(database_url: str) -> None:
    asked = 0

    async def serializable(conn: Connection) -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            await conn.execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$")

    async def story() -> None:
        async with Database(database_url) as database:
            await database.run(serializable)

    asyncio.run(story())
    assert asked == 3


def test_what_refuses_the_commit_of_a_pipeline_is_raised_as_itself(
    database_url: str, db: Db
) -> None:
    """Whether the refusal comes with the end of the pipeline or before it, as it often does."""
    db.execute("CREATE TABLE theirs (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    twice: Call = ("INSERT INTO theirs VALUES (%(n)s), (%(n)s)", {"n": 1})

    async def story() -> None:
        async with Database(database_url) as database:
            for _ in range(100):
                with pytest.raises(psycopg.errors.UniqueViolation):
                    await database.run(lambda conn: brief_rows(conn, *twice))

    asyncio.run(story())


# ── times ──


@pytest.mark.parametrize("style", ["German", "SQL, DMY", "Postgres"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Chatham", "<+03>-03"])
def test_times_are_integers_whatever_the_database_is_set_to(
    style: str, zone: str, database_url: str, db: Db
) -> None:
    name = db.info.dbname
    db.execute(f"ALTER DATABASE {name} SET datestyle = '{style}'".encode())
    db.execute(f"ALTER DATABASE {name} SET timezone = '{zone}'".encode())

    async def story() -> list[tuple[object, ...]]:
        async with Database(database_url) as database:
            values = """('infinity'), ('-infinity'), ('294276-12-31T23:59:59Z'),
                        ('0001-01-01T00:00:00Z'), ('2026-01-31T12:00:00.000001Z'), (NULL)"""
            return await database.run(
                lambda conn: rows(conn, f"SELECT t::timestamptz FROM (VALUES {values}) v (t)")
            )

    assert [row[0] for row in asyncio.run(story())] == [
        times.NEVER,
        -times.NEVER,
        times.NEVER,
        -62_135_596_800_000_000,
        1_769_860_800_000_001,
        None,
    ]
