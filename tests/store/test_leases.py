"""The fence and what is guarded by it, on PostgreSQL: claims, accepts, results, releases, logs."""

import asyncio
import uuid

import psycopg
import pytest

from hodei.store import (
    accepts,
    cancels,
    claims,
    job_logs,
    leases,
    releases,
    results,
    stray_leases,
)
from hodei.store.accepts import Accepted
from hodei.store.database import Connection as AsyncConnection
from hodei.store.job_logs import Chunk
from hodei.store.leases import Claimant
from hodei.store.releases import Released
from tests.conftest import Connection
from tests.factories import (
    NOW_US,
    AWorker,
    assigned_job,
    claim,
    final_job,
    on,
    pending_job,
    ready_worker,
    running_job,
    word,
)
from tests.store.looks import queued, state


def test_a_claim_takes_the_best_and_leaves_it_pending(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> list[claims.Offer]:
        worker = await ready_worker(conn)
        for name, priority in (("low", -1), ("old", 0), ("new", 0), ("high", 1)):
            await pending_job(conn, name=name, priority=priority)
        return await claim(conn, [worker.id] * 3)

    offers = on(database_url, story)
    names: dict[uuid.UUID, str] = dict(db.execute("SELECT id, name FROM jobs").fetchall())
    assert [names[o.job_id] for o in offers] == ["high", "old", "new"]
    assert len({o.lease for o in offers}) == 3
    assert {state(db, o.job_id)[:2] for o in offers} == {("PENDING", 0)}
    assert [names[job_id] for job_id in queued(db)] == ["low"]


def test_eight_claimers_take_each_job_once(database_url: str, db: Connection) -> None:
    async def claimer(worker: AWorker) -> list[uuid.UUID]:
        taken: list[uuid.UUID] = []
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
            while offers := await claim(conn, [worker.id] * 7):
                taken += [offer.job_id for offer in offers]
        return taken

    async def race() -> list[uuid.UUID]:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
            worker = await ready_worker(conn)
            for _ in range(100):
                await pending_job(conn)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(claimer(worker)) for _ in range(8)]
        return [job_id for task in tasks for job_id in task.result()]

    taken = asyncio.run(race())
    assert len(taken) == len(set(taken)) == 100
    assert db.execute("SELECT count(DISTINCT lease), count(*) FROM leases").fetchone() == (100, 100)


def test_labels_must_match(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> tuple[int, int]:
        worker = await ready_worker(conn)
        await pending_job(conn, labels={"gpu": "a100"})
        none = await claim(conn, [worker.id], {"zone": "a"})
        one = await claim(conn, [worker.id], {"zone": "a", "gpu": "a100"})
        return len(none), len(one)

    assert on(database_url, story) == (0, 1)


def test_an_accept_counts_an_attempt_once_however_often_it_is_said(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> claims.Offer:
        worker = await ready_worker(conn)
        offer = await assigned_job(conn, worker)
        about = (offer.lease, worker.id, offer.job_id, offer.correlation_id)
        for now in (True, False):
            held = await accepts.accept(conn, [Claimant(offer.lease, worker.id)])
            assert list(held.values()) == [Accepted(*about, now=now)]
        assert await accepts.accept(conn, [Claimant(offer.lease, uuid.uuid4())]) == {}, (
            "another worker's lease"
        )
        return offer

    offer = on(database_url, story)
    assert state(db, offer.job_id) == ("RUNNING", 1, offer.lease, None)


@pytest.mark.parametrize("how", ["accept", "result", "log", "release"])
def test_a_stale_writer_changes_nothing(database_url: str, db: Connection, how: str) -> None:
    """The job was given to another worker meanwhile: the first one's word is refused, whatever it
    says."""

    async def story(conn: AsyncConnection) -> tuple[claims.Offer, object]:
        first, second = await ready_worker(conn), await ready_worker(conn)
        stale = await assigned_job(conn, first)
        about = (stale.lease, first.id, stale.job_id, stale.correlation_id)
        back = await releases.release(
            conn, [Claimant(stale.lease, first.id)], "not accepted", "system:job_rescuer"
        )
        assert back == [Released(*about, cancelled_by=None)]
        (now,) = await claim(conn, [second.id])
        assert now.lease > stale.lease
        await accepts.accept(conn, [Claimant(now.lease, second.id)])
        said = {
            "accept": lambda: accepts.accept(conn, [Claimant(stale.lease, first.id)]),
            "result": lambda: results.record_results(conn, [word(stale)]),
            "log": lambda: job_logs.append(conn, [chunk(stale, 0, b"late")]),
            "release": lambda: releases.release(
                conn, [Claimant(stale.lease, first.id)], "again", "x"
            ),
        }
        return now, await said[how]()  # type: ignore[no-untyped-call]

    now, answer = on(database_url, story)
    assert not answer
    assert state(db, now.job_id) == ("RUNNING", 1, now.lease, None)
    assert db.execute("SELECT count(*) FROM job_logs").fetchone() == (0,)


def test_final_is_final(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> claims.Offer:
        worker = await ready_worker(conn)
        done = await final_job(conn, worker)
        assert await results.record_results(conn, [word(done, "FAILED")]) == []
        assert await accepts.accept(conn, [Claimant(done.lease, worker.id)]) == {}
        assert not await cancels.cancel_queued(conn, done.job_id, "x")
        assert not await cancels.request_cancel(conn, done.job_id, "x")
        return done

    done = on(database_url, story)
    assert state(db, done.job_id) == ("SUCCEEDED", 1, None, None)


def test_an_offer_that_lapses_returns_with_its_age_and_spends_no_attempt(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> tuple[uuid.UUID, object, object]:
        worker = await ready_worker(conn)
        job_id = await pending_job(conn)
        age = await (await conn.execute("SELECT enqueued_at FROM job_queue")).fetchone()
        await claim(conn, [worker.id])
        await conn.execute("UPDATE leases SET accept_by = now() - interval '1 s'")
        assert await stray_leases.overdue(conn, 10.0) == [], (
            "the servers have not listened for a whole term yet"
        )
        await conn.execute(
            "UPDATE hodei_listening SET listening_since = now() - interval '1 minute'"
        )
        (late,) = await stray_leases.overdue(conn, 10.0)
        await releases.release(conn, [late], "not accepted within 10 s", "system:job_rescuer")
        return (
            job_id,
            age,
            await (await conn.execute("SELECT enqueued_at FROM job_queue")).fetchone(),
        )

    job_id, before, after = on(database_url, story)
    assert before == after
    assert state(db, job_id) == ("PENDING", 0, None, None)
    events = db.execute(
        """
        SELECT event_type, payload->>'reason'
        FROM domain_events
        WHERE aggregate_id = %s
        ORDER BY id
        """,
        [str(job_id)],
    )
    assert events.fetchall()[-1] == ("JobUnassigned", "not accepted within 10 s")


def test_an_offer_that_the_worker_lists_as_waiting_is_kept(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> list[Claimant]:
        worker = await ready_worker(conn)
        offer = await assigned_job(conn, worker)
        await conn.execute("UPDATE leases SET accept_by = now() - interval '1 s'")
        await conn.execute(
            "UPDATE hodei_listening SET listening_since = now() - interval '1 minute'"
        )
        await leases.renew_offers(conn, [Claimant(offer.lease, worker.id)], 10.0)
        return await stray_leases.overdue(conn, 10.0)

    assert on(database_url, story) == []


def chunk(offer: claims.Offer, seq: int, data: bytes) -> Chunk:
    return Chunk(offer.lease, offer.worker_id, seq, 1, seq * 10, 1, NOW_US, data)


def test_log_chunks_are_stored_once_in_order_and_a_gap_is_refused(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> list[int]:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        answers = []
        for seqs in ([0, 1], [1, 2], [0, 1, 2], [4], [3, 4]):
            answer = await job_logs.append(conn, [chunk(offer, seq, b"%d" % seq) for seq in seqs])
            answers.append(answer[Claimant(offer.lease, worker.id)].next_seq)
        return answers

    assert on(database_url, story) == [2, 3, 3, 3, 5]
    assert [bytes(row[0]) for row in db.execute("SELECT data FROM job_logs ORDER BY seq")] == [
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
    ]
    assert db.execute("SELECT log_seq, log_bytes FROM leases").fetchone() == (5, 5)


@pytest.mark.parametrize(("live", "moved"), [((1 << 61) - 1, True), (1 << 61, False)])
def test_a_lease_that_a_hand_has_set_does_not_use_up_the_numbers(
    database_url: str, db: Connection, live: int, moved: bool
) -> None:
    """Numbers behind it would be too large for any worker: no job of the cluster would run."""

    async def story(conn: AsyncConnection) -> None:
        await running_job(conn, await ready_worker(conn))

    on(database_url, story)
    db.execute("UPDATE leases SET lease = %s", [live])
    assert db.execute("SELECT hodei_pass_live_leases()").fetchone() == (moved,)
    after = db.execute("SELECT last_value = %s FROM hodei_lease_seq", [live]).fetchone()
    assert after == (moved,)
    db.execute("DELETE FROM leases")
    db.execute("SELECT setval('hodei_lease_seq', 1)")
