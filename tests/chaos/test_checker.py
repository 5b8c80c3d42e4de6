"""The judge is judged: a sound database passes, and each planted wrong is named."""

import pytest

from hodei.store.database import Connection as AsyncConnection
from tests.chaos.checker import violations
from tests.conftest import Connection
from tests.factories import assigned_job, final_job, on, pending_job, ready_worker, running_job


async def _sound(conn: AsyncConnection) -> str:
    worker = await ready_worker(conn)
    done = await final_job(conn, worker)
    await running_job(conn, worker)
    await assigned_job(conn, worker)
    await pending_job(conn)
    return str(done.job_id)


PLANTED = {
    "a lost job": ("DELETE FROM job_queue", "PENDING, but neither queued nor offered"),
    "queued though not pending": (
        "INSERT INTO job_queue (job_id) SELECT id FROM jobs WHERE state = 'RUNNING'",
        "queued or offered, but not PENDING",
    ),
    "queued and offered": (
        "INSERT INTO job_queue (job_id) SELECT job_id FROM leases WHERE accepted_at IS NULL",
        "queued and offered at once",
    ),
    "an unrecorded transition": (
        "UPDATE jobs SET state = 'FAILED', completed_at = now() WHERE id IN (SELECT job_id FROM job_queue)",
        "its events say PENDING",
    ),
    "two recorded results": (
        """INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
           SELECT updated_at + interval '1 s', 'JobStatusChanged', id::text, 'x', 'x', '{"old_state": "RUNNING", "new_state": "FAILED"}'
           FROM jobs WHERE state = 'SUCCEEDED'""",
        "illegal transition",
    ),
    "events that tie": (
        "UPDATE domain_events SET occurred_at = (SELECT min(occurred_at) FROM domain_events WHERE aggregate_id = '{done}') "
        "WHERE aggregate_id = '{done}'",
        "events tie or run backwards",
    ),
    "a lease nobody knows": ("UPDATE leases SET lease = lease + 1000", "but its job does not know it"),
    "an attempt too many": ("UPDATE jobs SET attempts = attempts + 1 WHERE state = 'SUCCEEDED'", "its events say SUCCEEDED after 1"),
}


def test_a_sound_database_passes(database_url: str, db: Connection) -> None:
    done = on(database_url, _sound)
    assert violations(db, [(done, "1")]) == []


@pytest.mark.parametrize("plant", PLANTED)
def test_it_catches(database_url: str, db: Connection, plant: str) -> None:
    done = on(database_url, _sound)
    statement, words = PLANTED[plant]
    db.execute(statement.replace("{done}", done).encode())
    assert any(words in violation for violation in violations(db)), violations(db)


def test_it_catches_double_and_uncounted_starts_and_wrong_logs(database_url: str, db: Connection) -> None:
    done = on(database_url, _sound)
    assert violations(db, [(done, "1"), (done, "1")]) == [
        f"{done}: lease 1 was started 2 times",
        f"{done}: started 2 times, 1 attempts counted",
    ]
    assert violations(db, [("ghost", "1")]) == ["ghost: it ran, but there is no such job"]
    assert violations(db, expected_log=b"hello\n") == [f"{done}: its log is not what it wrote"]
    db.execute("UPDATE jobs SET logs_complete = false WHERE state = 'SUCCEEDED'")
    assert violations(db, expected_log=b"hello\n") == [f"{done}: succeeded with an incomplete log"]
