"""What comes too late is kept for the record and changes nothing."""

import uuid

from hodei.store import (
    accepts,
    claims,
    job_logs,
    job_story,
    late_results,
    results,
)
from hodei.store.database import Connection as AsyncConnection
from hodei.store.job_logs import Chunk
from hodei.store.late_results import Late
from hodei.store.leases import Claimant
from tests.conftest import Connection
from tests.factories import (
    NOW_US,
    back_off_ends,
    claim,
    on,
    ready_worker,
    running_job,
    word,
)
from verify.checker import violations


def story_of(db: Connection, job_id: uuid.UUID) -> list[tuple[str, str | None]]:
    events = db.execute(
        """
        SELECT event_type, payload->>'new_state'
        FROM domain_events
        WHERE aggregate_id = %s
        ORDER BY occurred_at
        """,
        [str(job_id)],
    )
    return [(row[0], row[1]) for row in events]


def chunk(offer: claims.Offer, seq: int) -> Chunk:
    return Chunk(offer.lease, offer.worker_id, seq, 1, seq, 1, NOW_US, b"x")


def test_a_late_result_is_recorded_once_and_changes_no_state(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> uuid.UUID:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker, on_lost="fail")
        await results.record_results(
            conn, [word(offer, "LOST", actor="system:job_rescuer", log_chunks=-1)]
        )
        late = Late(offer.job_id, word(offer))
        assert await results.record_results(conn, [late.result]) == [], "the fence"
        recorded = [await late_results.record_late(conn, late) for _ in range(3)]
        assert [(r.stored, r.now) for r in recorded] == [(True, True), (True, False), (True, False)]
        return offer.job_id

    job_id = on(database_url, story)
    assert story_of(db, job_id)[-2:] == [("JobStatusChanged", "FAILED"), ("JobLateResult", None)]
    assert db.execute("SELECT state, reason FROM jobs").fetchall() == [("FAILED", "WORKER_LOST")]
    (payload,) = db.execute(
        "SELECT payload FROM domain_events WHERE event_type = 'JobLateResult'"
    ).fetchone() or ({},)
    assert {key: payload[key] for key in ("outcome", "attempt", "lease")} == {
        "outcome": "SUCCEEDED",
        "attempt": 1,
        "lease": 1,
    }
    assert violations(db) == []


def test_a_result_of_a_lease_that_another_worker_has_is_late_and_kept(
    database_url: str, db: Connection
) -> None:
    """A hand has given the lease away: its worker would say the result again for ever."""

    async def story(conn: AsyncConnection) -> uuid.UUID:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        await conn.execute("UPDATE leases SET worker_id = gen_random_uuid()")
        late = Late(offer.job_id, word(offer))
        assert await results.record_results(conn, [late.result]) == []
        recorded = [await late_results.record_late(conn, late) for _ in range(2)]
        assert [(r.stored, r.now) for r in recorded] == [(True, True), (True, False)]
        return offer.job_id

    job_id = on(database_url, story)
    assert story_of(db, job_id)[-1] == ("JobLateResult", None)
    assert db.execute("SELECT state FROM jobs").fetchall() == [("RUNNING",)]


def test_a_result_that_was_recorded_but_not_acknowledged_is_no_late_one(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> bool:
        offer = await running_job(conn, await ready_worker(conn))
        await results.record_results(conn, [word(offer)])
        return (await late_results.record_late(conn, Late(offer.job_id, word(offer)))).stored

    assert on(database_url, story) is True
    assert db.execute(
        "SELECT count(*) FROM domain_events WHERE event_type = 'JobLateResult'"
    ).fetchone() == (0,)


def test_nobody_can_write_late_into_a_job_that_was_never_his(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker, stranger = await ready_worker(conn), await ready_worker(conn)
        offer = await running_job(conn, worker, on_lost="fail")
        await results.record_results(conn, [word(offer, "LOST", actor="system:x")])
        foreign = offer._replace(worker_id=stranger.id)
        for false in (foreign, offer._replace(lease=999), offer._replace(job_id=uuid.uuid4())):
            assert (await late_results.record_late(conn, Late(false.job_id, word(false)))).stored
            await job_logs.append_late(conn, false.job_id, [chunk(false, 0)])

    on(database_url, story)
    assert db.execute(
        "SELECT count(*) FROM domain_events WHERE event_type = 'JobLateResult'"
    ).fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM job_logs").fetchone() == (0,)


def test_late_chunks_are_kept_under_their_own_attempt_and_marked(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        first = await running_job(conn, worker)
        await job_logs.append(conn, [chunk(first, 0)])
        await results.record_results(conn, [word(first, "LOST", actor="system:x")])
        await back_off_ends(conn)
        (second,) = await claim(conn, [worker.id])
        await accepts.accept(conn, [Claimant(second.lease, worker.id)])
        await job_logs.append(conn, [chunk(second, 0)])
        for _ in range(2):
            await job_logs.append_late(conn, first.job_id, [chunk(first, 0), chunk(first, 1)])
        await job_logs.append_late(
            conn, first.job_id, [chunk(second, 1)]
        )  # that one holds: it is not late

    on(database_url, story)
    kept = db.execute(
        "SELECT attempt, lease, seq, late FROM job_logs ORDER BY lease, seq"
    ).fetchall()
    assert kept == [(1, 1, 0, False), (1, 1, 1, True), (2, 2, 0, False)]


def test_attempts_are_told_apart(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> list[tuple[object, ...]]:
        worker = await ready_worker(conn)
        first = await running_job(conn, worker)
        await job_logs.append(conn, [chunk(first, 0)])
        await results.record_results(conn, [word(first, "LOST", actor="system:x")])
        await back_off_ends(conn)
        (second,) = await claim(conn, [worker.id])
        await accepts.accept(conn, [Claimant(second.lease, worker.id)])
        found, _ = await job_story.attempts(conn, first.job_id)
        return [
            (a.attempt, a.outcome, a.reason, a.log_bytes, a.ended_at is not None) for a in found
        ]

    assert on(database_url, story) == [
        (1, "LOST", "WORKER_LOST", 1, True),
        (2, None, None, 0, False),
    ]


def test_an_exit_code_that_is_final_is_not_run_again(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> list[str]:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker, retries=5, final_exit_codes=[3, 4])
        return [e.new_state for e in await results.record_results(conn, [word(offer, "FAILED")])]

    assert on(database_url, story) == ["FAILED"]
