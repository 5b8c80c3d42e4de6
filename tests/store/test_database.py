"""What the store's calls have in common: one transaction, settings that are its own, binary parameters."""

import psycopg
import pytest

from hodei.store.database import Blobs, Connection, guarded_rows
from tests.conftest import Connection as Db
from tests.factories import on

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
        return await guarded_rows(conn, ("SELECT unnest(%(data)s::bytea[])", {"data": Blobs(blobs)}))

    assert on(database_url, story) == [[(blob,) for blob in blobs]]
