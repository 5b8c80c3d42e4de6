"""Which containers nobody will end."""

import uuid

from hodei.store import leftovers
from hodei.store.database import Connection
from hodei.store.leftovers import Leftover
from tests.conftest import Connection as SyncConnection
from tests.factories import on, ready_worker, running_job


def test_what_is_abandoned(database_url: str, db: SyncConnection) -> None:
    """The lease holds no more, and the worker is TERMINATED or unknown."""

    async def story(conn: Connection) -> list[int]:
        worker = await ready_worker(conn)
        runs = await running_job(conn, worker)
        nobody = uuid.uuid4()
        known = Leftover(runs.lease, runs.job_id, worker.id)
        found = [
            known,
            known._replace(lease=10_001),
            known._replace(worker_id=nobody),
            known._replace(job_id=nobody, worker_id=nobody, lease=10_002),
        ]
        assert await leftovers.abandoned(conn, found) == [10_002]
        await conn.execute("UPDATE workers SET state = 'TERMINATED'")
        assert sorted(await leftovers.abandoned(conn, found)) == [10_001, 10_002]
        await conn.execute("DELETE FROM leases")
        return await leftovers.abandoned(conn, found)

    assert len(on(database_url, story)) == 4
    assert on(database_url, lambda conn: leftovers.abandoned(conn, [])) == []
