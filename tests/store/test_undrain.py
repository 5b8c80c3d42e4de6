"""The state of a worker whose drain is taken back."""

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
