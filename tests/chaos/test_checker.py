"""The judge is judged: a sound database passes, and each planted wrong is named."""

import os
import random
import subprocess
import uuid
from pathlib import Path

import pytest

from hodei.store import accepts, job_logs, leases, results
from hodei.store.database import Connection as AsyncConnection
from hodei.store.job_logs import Chunk
from tests.chaos.wild import Wild, marked
from tests.conftest import Connection
from tests.eventually import eventually
from tests.factories import (
    NOW_US,
    assigned_job,
    back_off_ends,
    claim,
    on,
    pending_job,
    ready_worker,
    running_job,
    word,
)
from verify.checker import Trace, orphans, traces_in, violations

WROTE = b"one\ntwo\n"


async def _sound(conn: AsyncConnection) -> str:
    worker = await ready_worker(conn)
    done = await running_job(conn, worker)
    await job_logs.append(
        conn,
        [
            Chunk(done.lease, worker.id, 0, 1, 0, 1, NOW_US, b"one\n"),
            Chunk(done.lease, worker.id, 1, 1, 4, 2, NOW_US, b"two\n"),
        ],
    )
    await results.record_results(conn, [word(done, exit_code=0, log_chunks=2)])
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
        """
        UPDATE jobs
        SET state = 'FAILED', completed_at = now()
        WHERE id IN (SELECT job_id FROM job_queue)
        """,
        "its events say PENDING",
    ),
    "two recorded results": (
        """INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
           SELECT updated_at + interval '1 s', 'JobStatusChanged', id::text, 'x', 'x', '{"old_state": "RUNNING", "new_state": "FAILED"}'
           FROM jobs WHERE state = 'SUCCEEDED'""",
        "illegal transition",
    ),
    "events that tie": (
        """
        UPDATE domain_events
        SET occurred_at = (SELECT min(occurred_at) FROM domain_events WHERE aggregate_id = '{done}')
        WHERE aggregate_id = '{done}'
        """,
        "events tie or run backwards",
    ),
    "a lease nobody knows": (
        "UPDATE leases SET lease = lease + 1000",
        "but its job does not know it",
    ),
    "a lease given twice": (
        """
        UPDATE domain_events
        SET payload = payload || '{"lease": 1}'
        WHERE event_type = 'JobAssigned'
        """,
        "was given 3 times",
    ),
    "two late results": (
        """
        INSERT INTO domain_events
            (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
        SELECT now(), 'JobLateResult', 'x', 'x', 'x', '{"lease": 9}'
        FROM generate_series(1, 2)
        """,
        "lease 9 has 2 late results",
    ),
    "an attempt too many": (
        "UPDATE jobs SET attempts = attempts + 1 WHERE state = 'SUCCEEDED'",
        "its events say SUCCEEDED after 1",
    ),
    "an attempt that nobody told": (
        "DELETE FROM domain_events WHERE payload->>'new_state' = 'RUNNING'",
        "ran, and nothing tells of it",
    ),
    "a log with a hole": ("DELETE FROM job_logs WHERE seq = 0", "has a hole"),
    "a log that jumps": (
        "UPDATE job_logs SET byte_offset = byte_offset + 1 WHERE seq = 1",
        "jumps",
    ),
    "a wrong byte": (
        "UPDATE job_logs SET data = 'twi' WHERE seq = 1",
        "is not what it wrote (7 bytes of 8)",
    ),
    "a missing tail": ("DELETE FROM job_logs WHERE seq = 1", "is not what it wrote (4 bytes of 8)"),
    "an incomplete log of a success": (
        "UPDATE jobs SET logs_complete = false WHERE state = 'SUCCEEDED'",
        "succeeded with an incomplete log",
    ),
}


def test_a_sound_database_passes(database_url: str, db: Connection) -> None:
    done = on(database_url, _sound)
    assert violations(db, [Trace(done, 1, 1, WROTE)]) == []


@pytest.mark.parametrize("plant", PLANTED)
def test_it_catches(database_url: str, db: Connection, plant: str) -> None:
    done = on(database_url, _sound)
    statement, words = PLANTED[plant]
    db.execute(statement.replace("{done}", done).encode())
    found = violations(db, [Trace(done, 1, 1, WROTE)])
    assert any(words in violation for violation in found), found


def test_of_a_poisoned_job_only_its_own_row_is_excused(database_url: str, db: Connection) -> None:
    done = on(database_url, _sound)
    db.execute("UPDATE jobs SET attempts = attempts + 1")
    found = violations(db, [Trace(done, 1, 1, WROTE)])
    assert len(found) == 4
    assert violations(db, [Trace(done, 1, 1, WROTE)], poisoned={done}) == [
        v for v in found if not v.startswith(done)
    ]
    assert (
        violations(db, poisoned={row[0] for row in db.execute("SELECT id::text FROM jobs")}) == []
    )


def test_it_catches_a_worker_that_has_a_word_in_the_jobs_of_others(
    database_url: str, db: Connection
) -> None:
    done = on(database_url, _sound)
    ((worker,),) = db.execute(
        "SELECT DISTINCT worker_id::text FROM domain_events WHERE event_type = 'JobAssigned'"
    ).fetchall()
    assert any(
        words.startswith(f"{done}: JobAssigned tells of worker {worker}")
        for words in violations(db, evil={worker})
    )


def test_it_catches_double_and_unknown_starts(database_url: str, db: Connection) -> None:
    done = on(database_url, _sound)
    assert violations(db, [Trace(done, 1, 2, WROTE)]) == [f"{done}: lease 1 was started 2 times"]
    assert "ghost: lease 1 ran, and nothing tells of it" in violations(
        db, [Trace("ghost", 1, 1, b"")]
    )


def test_it_catches_an_attempt_that_a_deploy_has_spent(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> str:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        await results.record_results(conn, [word(offer, "LOST")])
        await back_off_ends(conn)
        (again,) = await claim(conn, [worker.id])
        await accepts.accept(conn, [leases.Claimant(again.lease, worker.id)])
        await results.record_results(conn, [word(again)])
        return str(offer.job_id)

    job_id = on(database_url, story)
    assert f"{job_id}: 2 attempts, though only servers were deployed" not in violations(db)
    assert any("though only servers were deployed" in v for v in violations(db, undisturbed=True))


def test_it_catches_orphans() -> None:
    job_id = str(uuid.uuid4())
    assert orphans({job_id}) == []
    with subprocess.Popen(["sleep", "60"], env=os.environ | {"HODEI_JOB_ID": job_id}) as process:
        assert orphans({job_id}) == [f"{job_id}: process {process.pid} of it still lives"]
        process.kill()


def test_it_catches_what_has_escaped_by_its_mark(tmp_path: Path) -> None:
    """Its environment is empty: only its argument tells whose it was."""
    wild = Wild(random.Random(1), tmp_path)
    assert marked(wild.mark) == []
    escaped = ["/usr/bin/env", "-i", "/bin/sleep", wild.mark]
    with subprocess.Popen(escaped) as process:
        eventually(
            lambda: (
                marked(wild.mark)
                == [f"process {process.pid} of a job has escaped: /bin/sleep {wild.mark} "]
            )
        )
        process.kill()


def test_it_catches_a_wild_job_that_did_not_end_as_its_kind_does(
    database_url: str, db: Connection, tmp_path: Path
) -> None:
    done = on(database_url, _sound)
    wild = Wild(random.Random(1), tmp_path)
    wild.jobs[done] = "escapes"
    assert wild.violations(db) == []
    wild.jobs[done] = "kills its own group"
    assert wild.violations(db) == [f"{done}: kills its own group, and ended SUCCEEDED : None"]
    db.execute("UPDATE jobs SET state = 'FAILED', reason = 'QUARANTINED' WHERE id = %s", [done])
    assert wild.violations(db) == []


def test_it_catches_a_supervisor_that_a_job_has_killed(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> str:
        offer = await running_job(conn, await ready_worker(conn))
        message = "the worker's supervisor died; its processes were killed"
        await results.record_results(conn, [word(offer, "LOST", message=message)])
        return str(offer.job_id)

    job_id = on(database_url, story)
    assert violations(db) == []
    found = violations(db, supervisors_die=False)
    assert found == [
        f"{job_id}: lost by no fault: the worker's supervisor died; its processes were killed"
    ]


def test_it_catches_what_was_unforeseen(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> str:
        offer = await running_job(conn, await ready_worker(conn))
        await results.record_results(conn, [word(offer, "FAILED", reason="INTERNAL", message="oh")])
        return str(offer.job_id)

    job_id = on(database_url, story)
    assert violations(db) == [f"{job_id}: ended INTERNAL: oh"]
    assert violations(db, poisoned={job_id}) == []


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "job.7").write_bytes(b"start\none\ntwo\n")
    assert traces_in(tmp_path) == [Trace("job", 7, 1, WROTE)]
