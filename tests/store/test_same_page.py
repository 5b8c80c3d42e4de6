"""Updates of a job stay on its page, where no index gets an entry: a batch of neighbours too."""

from pathlib import Path

import psycopg

from hodei.store import results, schema
from hodei.store.database import Connection as AsyncConnection
from tests.conftest import Connection
from tests.eventually import eventually
from tests.factories import claim, on, ready_worker, word

JOBS, BATCH = 1000, 250

CREATE = """
SELECT count(*)
FROM hodei_create_jobs((
    SELECT jsonb_agg(jsonb_build_object(
        'id', hodei_uuid7(), 'actor', 'a', 'spec', '{"command": "true"}'::jsonb))
    FROM generate_series(1, %s)))
"""

UPDATED = """
SELECT n_tup_upd, n_tup_hot_upd
FROM pg_stat_user_tables
WHERE relname = 'jobs' AND n_tup_upd >= %s
"""
STORAGE = "SELECT reloptions FROM pg_class WHERE oid = to_regclass('jobs')"


def test_neighbours_that_are_claimed_and_end_at_once_stay_on_their_pages(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        await conn.execute(CREATE, [JOBS])
        while offers := await claim(conn, [worker.id] * BATCH):
            await results.record_results(conn, [word(offer) for offer in offers])

    ((updated, on_page),) = db.execute(UPDATED, [0]).fetchall()
    on(database_url, story)
    ((_, on_page_now),) = eventually(lambda: db.execute(UPDATED, [updated + 2 * JOBS]).fetchall())
    assert on_page_now - on_page >= 0.9 * 2 * JOBS


def test_an_older_schema_gets_the_room_unless_somebody_has_set_another(
    empty_database_url: str,
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute((Path(__file__).parent / "schema-1.5.sql").read_bytes())
        schema.apply_sync(empty_database_url)
        assert conn.execute(STORAGE).fetchone() == (["fillfactor=40"],)
        conn.execute("ALTER TABLE jobs SET (fillfactor = 90)")
        conn.execute("UPDATE hodei_schema SET revision = 5")
        schema.apply_sync(empty_database_url)
        assert conn.execute(STORAGE).fetchone() == (["fillfactor=90"],)
