"""Jobs and leases that contradict each other, because a hand has changed one of them, are found and
go on, or are set aside; no look waits for what somebody has locked."""

import pytest

from hodei.store import (
    cancel_many,
    cancels,
    invariants,
    leases,
    rejections,
    results,
    sweep,
)
from hodei.store.database import Connection as AsyncConnection
from hodei.store.leases import Claimant
from tests.conftest import Connection
from tests.factories import assigned_job, on, ready_worker, running_job, word
from tests.store.test_mended import mend
from verify.checker import violations


def test_a_running_job_whose_lease_is_an_offer_of_nobody_gets_its_lease_back(
    database_url: str, db: Connection
) -> None:
    """No sweep would end it: an offer goes back only of a job that waits."""

    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        await conn.execute("UPDATE leases SET accepted_at = NULL, worker_id = gen_random_uuid()")
        assert await mend(conn) == 1
        assert await mend(conn) == 0
        (ended,) = await results.record_results(conn, [word(offer, "SUCCEEDED")])
        assert ended.new_state == "SUCCEEDED"

    on(database_url, story)
    assert violations(db) == []


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_job_that_names_the_lease_of_another_is_odd(
    database_url: str, db: Connection, state: str
) -> None:
    """It would stay as long as the other runs. Its worker may still speak of it."""

    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        honest = await running_job(conn, worker)
        odd = await running_job(conn, worker)
        await conn.execute(
            "UPDATE jobs SET lease = %s, state = %s WHERE id = %s",
            [honest.lease, state, odd.job_id],
        )
        assert await invariants.mend(conn, [odd.job_id]) == []
        await sweep.look(conn, 30, 20)
        await conn.execute("UPDATE hodei_listening SET checked_at = NULL")
        assert (await invariants.look(conn))[:2] == ([], [odd.job_id])
        await rejections.set_aside(conn, [odd.job_id], "its lease is another's", "system:test")
        (ended,) = await results.record_results(conn, [word(honest, "SUCCEEDED")])
        assert ended.job_id == honest.job_id

    on(database_url, story)
    asked = "SELECT state, lease, reason FROM jobs ORDER BY state"
    assert db.execute(asked).fetchall() == [("FAILED", None, "REJECTED"), ("SUCCEEDED", None, None)]


def test_of_several_jobs_that_name_a_lease_which_nobody_has_one_goes_on(
    database_url: str, db: Connection
) -> None:
    """Else each look would give it to the next one, one by one."""

    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        jobs = [(await running_job(conn, worker)).job_id for _ in range(3)]
        await conn.execute("UPDATE jobs SET lease = 1000")
        await conn.execute("DELETE FROM leases")
        await sweep.look(conn, 30, 20)
        await conn.execute("UPDATE hodei_listening SET checked_at = NULL")
        found = await invariants.look(conn)
        assert (found.jobs, sorted(found.odd)) == ([min(jobs)], sorted(jobs)[1:])

    on(database_url, story)


@pytest.mark.parametrize("term", ["infinity", "2999-01-01Z"])
def test_an_offer_without_an_end_lapses(database_url: str, db: Connection, term: str) -> None:
    """Its worker may know nothing of it, and live on."""

    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        await assigned_job(conn, worker)
        await conn.execute("UPDATE leases SET accept_by = %s", [term])
        await sweep.look(conn, 30, 20)
        await conn.execute("UPDATE hodei_listening SET checked_at = NULL")
        await invariants.look(conn)

    on(database_url, story)
    soon = "SELECT accept_by < clock_timestamp() + interval '11 s' FROM leases"
    assert db.execute(soon).fetchall() == [(True,)]


def test_no_look_waits_for_a_row_that_somebody_has_locked(
    database_url: str, db: Connection
) -> None:
    """The sweeps of a server stand still while it waits."""

    async def story(conn: AsyncConnection) -> None:
        await ready_worker(conn)
        await conn.execute("SET lock_timeout = '10ms'")
        await conn.execute("UPDATE hodei_listening SET last_beat = 'infinity', checked_at = NULL")
        await conn.execute("UPDATE workers SET last_heartbeat = '2999-01-01Z'")
        await conn.execute("INSERT INTO job_queue (job_id) VALUES (gen_random_uuid())")
        await conn.execute(
            """
            INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, offered_at, accept_by)
            VALUES (9, gen_random_uuid(), gen_random_uuid(), 1, now(), now(), '2999-01-01Z')"""
        )
        for table in ("hodei_listening", "workers", "leases", "job_queue"):
            with db.transaction(force_rollback=True):
                db.execute(f"SELECT FROM {table} FOR UPDATE".encode())
                await sweep.look(conn, 30, 20)
                if table != "hodei_listening":
                    await invariants.look(conn)
                    await invariants.drop_leases(conn)
            await conn.execute("UPDATE hodei_listening SET last_beat = 'infinity'")

    on(database_url, story)


@pytest.mark.parametrize("column", ["cancel_delivered_at", "stopping_at"])
@pytest.mark.parametrize("many", [False, True])
def test_a_cancel_is_told_whatever_the_lease_said_of_one_before(
    database_url: str, column: str, many: bool
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        await conn.execute(f"UPDATE leases SET {column} = 'infinity'")
        if many:
            await cancel_many.cancel_many(conn, [offer.job_id], [], "cli:ana")
        else:
            assert await cancels.request_cancel(conn, offer.job_id, "cli:ana")
        told = [Claimant(offer.lease, worker.id)]
        assert await leases.undelivered_cancels(conn, [worker.id]) == told
        await leases.cancel_delivered(conn, worker.id, [offer.lease], stopping=True)
        assert await leases.undelivered_cancels(conn, [worker.id]) == []

    on(database_url, story)
