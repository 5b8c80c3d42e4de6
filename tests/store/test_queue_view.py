"""What operators see of a long queue and a large fleet is bounded, and says how much it is of."""

import uuid

import pytest

from hodei.domain.job import Waiting
from hodei.store import fleet_view, queue_view, servers
from tests.conftest import Connection
from tests.factories import on, ready_worker, running_job

QUEUE = """
INSERT INTO job_queue (job_id, labels, waiting, ready_at, enqueued_at)
SELECT gen_random_uuid(),
       jsonb_build_object('set', CASE WHEN i <= %(sets)s THEN i::text ELSE 'many' END),
       CASE WHEN i % 2 = 0 AND i > %(sets)s THEN 'BACKOFF' END,
       CASE WHEN i % 2 = 0 AND i > %(sets)s THEN now() + interval '1 hour' END,
       now() - i * interval '1 second'
FROM generate_series(1, %(jobs)s) i
"""


def fill(db: Connection, *, sets: int, jobs: int) -> None:
    db.execute(QUEUE.replace("% 2", "%% 2").encode(), {"sets": sets, "jobs": jobs})


def test_the_jobs_of_too_many_label_sets_are_not_examined(
    db: Connection, database_url: str
) -> None:
    fill(db, sets=400, jobs=600)
    found = on(database_url, queue_view.unservable)
    assert found.looked_at == 100 + queue_view.MOST_SETS - 1
    assert found.oldest_servable_s is None
    assert found.jobs == found.looked_at
    assert len(found.sets) == queue_view.MOST_UNSERVABLE
    assert (found.sets[0].labels, found.sets[0].jobs) == ({"set": "many"}, 100)
    assert found.sets[0].oldest_s > 500
    depth = on(database_url, queue_view.depth)
    assert (depth.ready, depth.waiting) == (500, {Waiting.BACKOFF: 100})

    worker = on(database_url, lambda conn: ready_worker(conn, labels={"set": "many"}))
    found = on(database_url, queue_view.unservable)
    assert found.sets[0].jobs == 1
    assert 590 < (found.oldest_servable_s or 0) < 660
    lacking = on(database_url, lambda conn: queue_view.lacking(conn, worker.id))
    assert len(lacking) == queue_view.MOST_LACKING
    db.execute("UPDATE workers SET state = 'DRAINING'")
    assert on(database_url, queue_view.unservable).sets[0].draining
    db.execute("UPDATE workers SET state = 'UNREACHABLE'")
    assert not on(database_url, queue_view.unservable).sets[0].draining


def test_only_the_head_of_the_queue_is_examined(
    db: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, sets=2, jobs=2)
    db.execute('UPDATE job_queue SET priority = 5 WHERE labels = \'{"set": "1"}\'')
    monkeypatch.setattr(queue_view, "READY_HEAD", 1)
    found = on(database_url, queue_view.unservable)
    assert (found.looked_at, [one.labels for one in found.sets]) == (1, [{"set": "1"}])


def test_nothing_waits(database_url: str) -> None:
    assert on(database_url, queue_view.unservable) == (0, 0, None, [])
    assert on(database_url, queue_view.depth) == (0, 0.0, {}, 0)


def test_the_jobs_of_a_worker_are_counted_beyond_those_listed(
    db: Connection, database_url: str
) -> None:
    worker = on(database_url, lambda conn: ready_worker(conn, slots=300))
    offer = on(database_url, lambda conn: running_job(conn, worker))
    db.execute(
        """
        WITH made AS (
            INSERT INTO jobs (id, name, spec, correlation_id, actor)
            SELECT gen_random_uuid(), 'n', '{}', 'c', 'a'
            FROM generate_series(1, 250)
            RETURNING id
        )
        INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, offered_at, accept_by)
        SELECT nextval('hodei_lease_seq'), m.id, %s, 1, now(), now(), now()
        FROM made m
        """,
        [worker.id],
    )
    held = on(database_url, lambda conn: fleet_view.jobs_of(conn, worker.id))
    assert (held.in_all, len(held.first)) == (251, fleet_view.MOST_JOBS)
    assert held.first[0].job_id == offer.job_id, "those that run come first"


def test_servers_write_themselves_down_and_the_dead_are_deleted(
    db: Connection, database_url: str
) -> None:
    me = servers.Self(uuid.uuid4(), "127.0.0.1:1", "host", "1", 60.0)
    db.execute(
        """
        INSERT INTO hodei_servers (id, last_beat)
        SELECT gen_random_uuid(), now() + i * interval '1 hour'
        FROM unnest(ARRAY[-2, 2]) i
        """
    )
    on(database_url, lambda conn: servers.beat(conn, me))
    (started,) = db.execute(
        "SELECT started_at FROM hodei_servers WHERE id = %s", [me.id]
    ).fetchall()
    on(database_url, lambda conn: servers.beat(conn, me))
    assert db.execute("SELECT id, started_at FROM hodei_servers").fetchall() == [(me.id, *started)]
    (listed,) = on(database_url, servers.listed)
    assert (listed.id, listed.address, listed.lost_after_s) == (str(me.id), "127.0.0.1:1", 60.0)
    db.execute(
        "INSERT INTO hodei_servers (id) SELECT gen_random_uuid() FROM generate_series(1, 200)"
    )
    assert len(on(database_url, servers.listed)) == servers.MOST_LISTED
    on(database_url, lambda conn: servers.leave(conn, me.id))
    assert not db.execute("SELECT FROM hodei_servers WHERE id = %s", [me.id]).fetchall()
