"""Limits that workers do not keep, and clocks that jump."""

import uuid
from typing import LiteralString

import psycopg
import pytest

from hodei.store import (
    accepts,
    job_logs,
    leases,
    releases,
    results,
    silent_workers,
    stray_leases,
    sweep,
)
from hodei.store.database import Connection as AsyncConnection
from hodei.store.leases import Claimant
from tests.conftest import Connection
from tests.factories import (
    assigned_job,
    claim,
    expire,
    on,
    pending_job,
    ready_worker,
    running_job,
    silence,
    word,
)
from tests.store.looks import state
from tests.store.test_late import chunk
from verify.checker import violations

# ── limits ──


@pytest.mark.parametrize("retries", [0, 1])
def test_a_job_without_time_outs_runs_into_none(
    retries: int, database_url: str, db: Connection
) -> None:
    """It is a failure all the same, and runs again if it may."""

    async def story(conn: AsyncConnection) -> uuid.UUID:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker, retries=retries)
        said = word(offer, "FAILED", reason="TIMEOUT", message="too slow", exit_code=None)
        (ended,) = await results.record_results(conn, [said])
        assert (ended.new_state, ended.reason) == ("PENDING" if retries else "FAILED", "INTERNAL")
        return offer.job_id

    job_id = on(database_url, story)
    final = (None, None) if retries else ("INTERNAL", results.UNLIMITED)
    assert db.execute("SELECT reason, message FROM jobs").fetchall() == [final]
    told = """
        SELECT payload ->> 'reason', payload ->> 'message'
        FROM domain_events
        WHERE aggregate_id = %s
          AND payload ->> 'old_state' = 'RUNNING'
    """
    assert db.execute(told, [str(job_id)]).fetchall() == [("INTERNAL", results.UNLIMITED)]


@pytest.mark.parametrize(("after_s", "reason"), [(5, "TIMEOUT"), (2, "INTERNAL")])
@pytest.mark.parametrize("limit", ["timeout", "start_timeout", "silence_timeout"])
def test_a_job_with_a_time_out_runs_into_it_when_it_can_have_passed(
    limit: str, after_s: int, reason: str, database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> uuid.UUID:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker, **{limit: 5})
        await conn.execute(
            "UPDATE leases SET offered_at = offered_at - make_interval(secs => %s)", [after_s]
        )
        await results.record_results(conn, [word(offer, "FAILED", reason="TIMEOUT")])
        return offer.job_id

    assert state(db, on(database_url, story)) == ("FAILED", 1, None, reason)


def test_a_job_that_waits_too_long_in_the_queue_fails(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> uuid.UUID:
        patient = await pending_job(conn, queue_timeout=3600)
        due = await pending_job(conn, queue_timeout=60, run_at="2126-01-01T00:00:00Z")
        hasty = await pending_job(conn, queue_timeout=60)
        found = await sweep.look(conn, 30, 30)
        assert (found.unseen, found.expired) == (True, False)
        assert await expire(conn) == [], "its term begins when it is seen"
        assert not (await sweep.look(conn, 30, 30)).unseen
        await conn.execute("UPDATE job_queue SET expires_at = expires_at - interval '61 seconds'")
        assert (await sweep.look(conn, 30, 30)).expired
        assert await expire(conn) == [hasty], "its term begins when it is due"
        assert await expire(conn) == []
        assert {patient, due} == {
            row[0] for row in await (await conn.execute("SELECT job_id FROM job_queue")).fetchall()
        }
        return hasty

    job_id = on(database_url, story)
    row = db.execute("SELECT state, reason, message FROM jobs WHERE id = %s", [job_id]).fetchone()
    assert row == ("FAILED", "TIMEOUT", "waited in the queue longer than 60 s")
    assert violations(db) == []


def test_the_term_in_the_queue_outlives_a_returned_offer_and_begins_anew_for_a_retry(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await assigned_job(conn, worker, queue_timeout=60, retries=1)
        await releases.release(conn, [Claimant(offer.lease, worker.id)], "x", "y")
        terms = """
            SELECT extract(epoch FROM q.expires_at - j.created_at)::integer
            FROM job_queue q
            JOIN jobs j ON j.id = q.job_id
        """
        assert (await (await conn.execute(terms)).fetchone()) == (60,)
        (again,) = await claim(conn, [worker.id])
        await accepts.accept(conn, [Claimant(again.lease, worker.id)])
        await results.record_results(conn, [word(again, "FAILED")])

    on(database_url, story)
    assert (
        db.execute("SELECT expires_at - ready_at FROM job_queue").fetchone()
        == db.execute("SELECT interval '60 s'").fetchone()
    )


def test_limits_that_the_worker_does_not_keep_are_found(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        await conn.execute(
            "UPDATE hodei_listening SET listening_since = listening_since - interval '1 hour'"
        )
        slow = await running_job(conn, worker, timeout=100, grace=5)
        silent = await running_job(conn, worker, silence_timeout=100)
        await running_job(conn, worker)
        assert await stray_leases.overrun(conn) == []
        assert not (await sweep.look(conn, 30, 30)).overrun
        await conn.execute(
            """
            UPDATE leases
            SET end_by = end_by - interval '134 s', accepted_at = accepted_at - interval '129 s'
            """
        )
        assert await stray_leases.overrun(conn) == []
        await conn.execute(
            """
            UPDATE leases
            SET end_by = end_by - interval '2 s', accepted_at = accepted_at - interval '2 s'
            """
        )
        assert (await sweep.look(conn, 30, 30)).overrun
        found = await stray_leases.overrun(conn)
        assert [(c.lease, words.split()[-1]) for c, words in found] == [
            (slow.lease, "timeout"),
            (silent.lease, "silence_timeout"),
        ]
        await job_logs.append(conn, [chunk(silent, 0)])
        assert [c.lease for c, _ in await stray_leases.overrun(conn)] == [slow.lease], "it spoke"
        await conn.execute("UPDATE hodei_listening SET listening_since = clock_timestamp()")
        assert await stray_leases.overrun(conn) == [], "nobody listened (rule 6)"

    on(database_url, story)


def test_a_start_that_takes_too_long_is_found_until_the_worker_says_that_it_runs(
    database_url: str,
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        await conn.execute(
            "UPDATE hodei_listening SET listening_since = listening_since - interval '1 hour'"
        )
        slow = await running_job(conn, worker, start_timeout=100)
        quick = await running_job(conn, worker, start_timeout=100)
        await leases.started(conn, worker.id, [quick.lease])
        await conn.execute("UPDATE leases SET start_by = start_by - interval '131 s'")
        assert (await sweep.look(conn, 30, 30)).overrun
        assert [(c.lease, words) for c, words in await stray_leases.overrun(conn)] == [
            (slow.lease, "did not start within its start_timeout")
        ]

    on(database_url, story)


@pytest.mark.parametrize(
    ("lock", "locks_all"),
    [
        ("SELECT FROM leases WHERE lease = (SELECT min(lease) FROM leases) FOR UPDATE", False),
        ("SELECT FROM jobs ORDER BY id LIMIT 1 FOR UPDATE", False),
        ("SELECT FROM jobs JOIN leases USING (lease) FOR UPDATE", True),
        ("CREATE INDEX of_somebody ON jobs (name)", True),
        ("ALTER TABLE jobs ADD COLUMN of_somebody text", True),
        ("CREATE INDEX of_somebody ON job_logs_default (late)", True),
        ("CREATE INDEX of_somebody ON domain_events (actor)", True),
        ("LOCK TABLE jobs, leases, job_logs, domain_events IN ROW EXCLUSIVE MODE", None),
    ],
)
def test_leases_are_found_of_which_nothing_can_be_stored(
    database_url: str, lock: LiteralString, locks_all: bool | None
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        first, second = [(await running_job(conn, worker)).lease for _ in range(2)]
        with psycopg.connect(database_url) as somebody:
            somebody.execute(lock)
            found = await leases.unwritable(conn, [first, second])
            somebody.rollback()
        assert found == {None: set(), False: {first}, True: {first, second}}[locks_all]
        assert await leases.unwritable(conn, [first, second]) == set()

    on(database_url, story)


def test_leases_that_a_worker_lists_and_nobody_gave_it_are_found(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker, other = await ready_worker(conn), await ready_worker(conn)
        offer = await running_job(conn, worker)
        listed = [
            Claimant(offer.lease, worker.id),
            Claimant(offer.lease, other.id),
            Claimant(77, worker.id),
        ]
        assert sorted(await stray_leases.unknown(conn, listed)) == sorted(listed[1:])

    on(database_url, story)


# ── the database's clock ──


def test_a_clock_set_forward_loses_nobody(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await assigned_job(conn, worker)
        await silence(conn, worker, 600)
        await conn.execute(
            "UPDATE hodei_listening SET last_beat = last_beat - interval '10 minutes'"
        )
        await conn.execute("UPDATE leases SET accept_by = accept_by - interval '10 minutes'")
        assert await silent_workers.judge_silent(conn, 30.0, 60.0) == [], "before the next beat"
        assert await stray_leases.overdue(conn, 10.0) == []
        await sweep.look(conn, 30, 30)
        assert await silent_workers.judge_silent(conn, 30.0, 60.0) == [], "and after it"
        assert await stray_leases.overdue(conn, 10.0) == []
        await conn.execute(
            "UPDATE hodei_listening SET listening_since = listening_since - interval '61 s'"
        )
        assert [c.lease for c in await stray_leases.overdue(conn, 10.0)] == [offer.lease]
        assert len(await silent_workers.judge_silent(conn, 30.0, 60.0)) == 1

    on(database_url, story)


def test_a_clock_set_back_does_not_keep_the_silent_for_as_long(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        await assigned_job(conn, worker)
        await conn.execute(
            "UPDATE workers SET last_heartbeat = last_heartbeat + interval '10 minutes'"
        )
        await conn.execute("UPDATE leases SET accept_by = accept_by + interval '10 minutes'")
        await conn.execute(
            """
            UPDATE hodei_listening
            SET last_beat = last_beat + interval '10 minutes', listening_since = now()
            """
        )
        await sweep.look(conn, 30, 30)
        ahead = """
            SELECT (SELECT max(last_heartbeat) FROM workers) > clock_timestamp(),
                   max(accept_by) > clock_timestamp() + interval '11 s'
        """
        assert await (await conn.execute(f"{ahead} FROM leases".encode())).fetchone() == (
            False,
            False,
        )

    on(database_url, story)
