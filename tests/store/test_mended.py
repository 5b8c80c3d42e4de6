"""What a hand has taken out of the queue or out of leases is written anew as it was."""

import pytest

from hodei.store import (
    accepts,
    cancel_many,
    cancels,
    invariants,
    job_logs,
    late_results,
    leases,
    results,
    stray_leases,
    sweep,
)
from hodei.store.database import Connection as AsyncConnection
from hodei.store.late_results import Late
from hodei.store.leases import Claimant
from tests.conftest import Connection
from tests.factories import (
    back_off_ends,
    claim,
    on,
    pending_job,
    ready_worker,
    running_job,
    word,
)
from tests.store.test_late import chunk
from verify.checker import violations


async def mend(conn: AsyncConnection) -> int:
    """How many jobs a look at once has found and mended."""
    await conn.execute("UPDATE hodei_listening SET checked_at = NULL")
    return len(await invariants.mend(conn, (await invariants.look(conn)).jobs))


async def waits(conn: AsyncConnection) -> tuple[object, ...] | None:
    return await (
        await conn.execute("SELECT waiting, ready_at, unseen_ms FROM job_queue")
    ).fetchone()


def test_a_back_off_goes_on_when_its_queue_row_is_deleted_however_often(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker, queue_timeout=60)
        await results.record_results(conn, [word(offer, "LOST", actor="system:job_rescuer")])
        late = Late(offer.job_id, word(offer, "FAILED"))
        assert (await late_results.record_late(conn, late)).stored, "the job's last event"
        before = await waits(conn)
        assert before
        for _ in range(2):
            await conn.execute("DELETE FROM job_queue")
            assert await mend(conn) == 1
            assert await waits(conn) == ("BACKOFF", before[1], 60_000)

    on(database_url, story)
    assert violations(db) == []


def test_a_back_off_that_is_over_is_not_waited_for_again(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        await results.record_results(conn, [word(offer, "LOST")])
        await back_off_ends(conn)
        (again,) = await claim(conn, [worker.id])
        await conn.execute("DELETE FROM leases")
        await conn.execute("UPDATE jobs SET lease = NULL")
        assert await mend(conn) == 1
        assert await waits(conn) == (None, None, None), again

    on(database_url, story)


def test_a_lease_that_is_written_anew_has_the_limits_of_its_accept(
    database_url: str, db: Connection
) -> None:
    terms = "SELECT lease, accepted_at, end_by, silence_s, log_seq FROM leases ORDER BY lease"

    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        limits: list[dict[str, object]] = [
            {"timeout": 100},
            {"timeout": 100, "grace": 5, "image": "busybox", "start_timeout": 30},
            {"silence_timeout": 100},
            {},
        ]
        for limit in limits:
            await pending_job(conn, **limit)
        offers = await claim(conn, [worker.id] * len(limits), {"hodei/executor": "docker"})
        held = await accepts.accept(conn, [Claimant(one.lease, worker.id) for one in offers])
        assert len(held) == len(limits)
        await job_logs.append(conn, [chunk(offers[-1], 0)])
        before = await (await conn.execute(terms)).fetchall()
        await conn.execute("DELETE FROM leases")
        assert await mend(conn) == len(limits)
        assert await (await conn.execute(terms)).fetchall() == before

    on(database_url, story)
    assert violations(db) == []


def test_silence_counts_anew_from_when_a_lease_was_written_anew(
    database_url: str, db: Connection
) -> None:
    """When its job last wrote is not known any more: to count from its accept would end a job that
    has written all the time."""

    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker, silence_timeout=100)
        await conn.execute("UPDATE hodei_listening SET listening_since = '-infinity'")
        await conn.execute("UPDATE jobs SET started_at = started_at - interval '1 hour'")
        await conn.execute("DELETE FROM leases")
        assert await mend(conn) == 1
        assert await stray_leases.overrun(conn) == []
        await conn.execute("UPDATE leases SET log_at = log_at - interval '131 s'")
        assert [one.claimant.lease for one in await stray_leases.overrun(conn)] == [offer.lease]

    on(database_url, story)


def test_a_lost_job_that_waits_in_the_queue_is_not_queued_again(
    database_url: str, db: Connection
) -> None:
    """Its worker goes on to speak under its lease, until it is told."""

    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        await results.record_results(conn, [word(offer, "LOST")])
        assert await invariants.mend(conn, [offer.job_id]) == []

    on(database_url, story)
    assert db.execute("SELECT FROM domain_events WHERE event_type = 'JobRequeued'").fetchall() == []


def test_a_running_job_without_a_lease_is_in_no_queue(database_url: str, db: Connection) -> None:
    """Its worker speaks of it, until the job is set aside."""
    db.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_running_has_its_lease")

    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        await conn.execute("UPDATE jobs SET lease = NULL")
        assert await invariants.mend(conn, [offer.job_id]) == []
        assert await waits(conn) is None

    on(database_url, story)


@pytest.mark.parametrize("number", [-(1 << 63), -1, 0, 1 << 61, (1 << 63) - 1])
def test_a_lease_whose_number_was_changed_is_written_anew(
    database_url: str, db: Connection, number: int
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        await conn.execute("UPDATE leases SET lease = %s", [number])
        assert await mend(conn) == 1
        ended = await results.record_results(conn, [word(offer, "SUCCEEDED")])
        assert [one.lease for one in ended] == [offer.lease]

    on(database_url, story)
    assert violations(db) == []


@pytest.mark.parametrize("number", [-(1 << 63), -1, 0, (1 << 62) + 1, (1 << 63) - 1])
def test_a_log_goes_on_where_its_stored_chunks_end_if_its_cursor_cannot_be(
    database_url: str, number: int
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        await job_logs.append(conn, [chunk(offer, 0), chunk(offer, 1)])
        await conn.execute("UPDATE leases SET log_seq = %s", [number])
        held = await leases.held_by(conn, worker.id, [offer.lease])
        assert held[offer.lease].log_seq == 0
        stored = await job_logs.append(conn, [chunk(offer, 2)])
        assert [one.next_seq for one in stored.values()] == [3]
        gap = await job_logs.append(conn, [chunk(offer, 4)])
        assert [one.next_seq for one in gap.values()] == [3]

    on(database_url, story)


def test_a_look_that_a_hand_says_took_no_time_at_all_is_not_the_last(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> None:
        await sweep.look(conn, 30, 20)
        await invariants.look(conn)
        await conn.execute("UPDATE hodei_listening SET check_took_s = '-1e308'")
        await invariants.look(conn)

    on(database_url, story)


def test_a_time_of_listening_that_lies_ahead_begins_now(database_url: str) -> None:
    """Until then no sweep would take a silent worker for lost."""
    ahead = "SELECT FROM hodei_listening WHERE listening_since > clock_timestamp()"

    async def story(conn: AsyncConnection) -> None:
        await sweep.look(conn, 30, 20)
        for value in ("infinity", "2999-01-01Z"):
            await conn.execute("UPDATE hodei_listening SET listening_since = %s", [value])
            await sweep.look(conn, 30, 20)
            assert await (await conn.execute(ahead)).fetchall() == [], value

    on(database_url, story)


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
        await invariants.set_aside(conn, [odd.job_id], "its lease is another's", "system:test")
        (ended,) = await results.record_results(conn, [word(honest, "SUCCEEDED")])
        assert ended.job_id == honest.job_id

    on(database_url, story)
    asked = "SELECT state, lease, reason FROM jobs ORDER BY state"
    assert db.execute(asked).fetchall() == [("FAILED", None, "REJECTED"), ("SUCCEEDED", None, None)]


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
