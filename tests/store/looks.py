"""What the tests of leases look at."""

import uuid

from tests.conftest import Connection


def state(db: Connection, job_id: uuid.UUID) -> tuple[object, ...]:
    row = db.execute(
        "SELECT state, attempts, lease, reason FROM jobs WHERE id = %s", [job_id]
    ).fetchone()
    assert row
    return row


def queued(db: Connection) -> list[uuid.UUID]:
    return [row[0] for row in db.execute("SELECT job_id FROM job_queue WHERE waiting IS NULL")]
