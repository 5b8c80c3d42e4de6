"""What a hand has taken out of the queue or out of leases is written anew as it was."""

import pytest

from hodei.store import (
    accepts,
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
