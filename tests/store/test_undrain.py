"""The state of a worker that is drained, and of one whose drain is taken back."""

import pytest

from hodei.store import sessions, workers
from hodei.store.database import Connection as AsyncConnection
from tests.conftest import Connection
from tests.factories import on, ready_worker


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize(
    ("became", "busy_slots", "then"),
    [
        ("DRAINING", 0, "READY"),
        ("DRAINING", 4, "BUSY"),
        ("UNREACHABLE", 0, "UNREACHABLE"),
        ("TERMINATED", 0, "TERMINATED"),
    ],
)
def test_it_follows_from_what_the_worker_was_last_heard_to_do(
    db: Connection, database_url: str, connected: bool, became: str, busy_slots: int, then: str
) -> None:
    """A worker that goes to another server has no stream for a moment: `hodei worker drain --undo`
    said that it was still DRAINING."""

    async def drained(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        await workers.drain(conn, worker.id, "cli:ana")
        if not connected:
            await sessions.disconnect(conn, worker.id, worker.session)

    on(database_url, drained)
    db.execute("UPDATE workers SET state = %s, busy_slots = %s", [became, busy_slots])
    ((worker_id,),) = db.execute("SELECT id FROM workers").fetchall()
    assert on(database_url, lambda conn: workers.undrain(conn, worker_id, "cli:ana"))
    assert db.execute("SELECT state, draining, drained_by FROM workers").fetchall() == [
        (then, False, None)
    ]


@pytest.mark.parametrize(
    ("was", "then"),
    [
        ("READY", "DRAINING"),
        ("BUSY", "DRAINING"),
        ("DRAINING", "DRAINING"),
        ("REGISTERING", "REGISTERING"),
        ("UNREACHABLE", "UNREACHABLE"),
        ("TERMINATED", "TERMINATED"),
    ],
)
def test_a_worker_that_is_away_is_drained_when_it_is_back(
    db: Connection, database_url: str, was: str, then: str
) -> None:
    """It was DRAINING until it was judged silent once more, with two events."""
    worker = on(database_url, ready_worker)
    db.execute("UPDATE workers SET state = %s", [was])
    for _ in range(2):
        assert on(database_url, lambda conn: workers.drain(conn, worker.id, "cli:ana"))
    row = "SELECT state, draining, drained_by FROM workers"
    assert db.execute(row).fetchall() == [(then, True, "cli:ana")]
    told = "SELECT payload ->> 'new_status' FROM domain_events WHERE actor = 'cli:ana'"
    assert db.execute(told).fetchall() == [(then.capitalize(),)], "once"
    beat = sessions.Heartbeat(worker.id, worker.session, 0, draining=False, current_job_id=None)
    on(database_url, lambda conn: sessions.beat(conn, [beat], []))
    assert db.execute(row).fetchall() == [("DRAINING", True, "cli:ana")]
