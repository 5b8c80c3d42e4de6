"""The fence and what is guarded by it, on PostgreSQL: claims, accepts, results, releases, cancels,
losses."""

import asyncio
import uuid

import psycopg
import pytest

from hodei.domain.worker import WorkerState
from hodei.store import (
    accepts,
    cancels,
    claims,
    job_logs,
    jobs,
    leases,
    releases,
    results,
    sessions,
    stray_leases,
    sweep,
    workers,
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
    back_off_ends,
    claim,
    final_job,
    lost_worker,
    on,
    pending_job,
    promote,
    ready_worker,
    running_job,
    silence,
    word,
)


def state(db: Connection, job_id: uuid.UUID) -> tuple[object, ...]:
    row = db.execute(
        "SELECT state, attempts, lease, reason FROM jobs WHERE id = %s", [job_id]
    ).fetchone()
    assert row
    return row


def queued(db: Connection) -> list[uuid.UUID]:
    return [row[0] for row in db.execute("SELECT job_id FROM job_queue WHERE waiting IS NULL")]


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
        "SELECT event_type, payload->>'reason' FROM domain_events WHERE aggregate_id = %s ORDER BY id",
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


def test_a_failure_within_its_retries_runs_again_after_a_back_off(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> uuid.UUID:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker, retries=1)
        (ended,) = await results.record_results(conn, [word(offer, "FAILED")])
        assert ended.new_state == "PENDING"
        assert await promote(conn) == 0
        await conn.execute("UPDATE job_queue SET ready_at = now() - interval '1 s'")
        assert await promote(conn) == 1
        (again,) = await claim(conn, [worker.id])
        assert again.attempt == 2
        await accepts.accept(conn, [Claimant(again.lease, worker.id)])
        (ended,) = await results.record_results(conn, [word(again, "FAILED")])
        assert ended.new_state == "FAILED"
        return offer.job_id

    assert state(db, on(database_url, story)) == ("FAILED", 2, None, "EXIT_NONZERO")


@pytest.mark.parametrize(
    ("spec", "states"), [({}, ["PENDING", "PENDING", "FAILED"]), ({"on_lost": "fail"}, ["FAILED"])]
)
def test_a_job_that_was_lost_alone_runs_again_twice(
    database_url: str, db: Connection, spec: dict[str, str], states: list[str]
) -> None:
    async def story(conn: AsyncConnection) -> tuple[uuid.UUID, list[str]]:
        worker = await ready_worker(conn)
        job_id = await pending_job(conn, **spec)
        became = []
        for _ in states:
            became.append(await lose(conn, worker))
            assert await claim(conn, [worker.id]) == [], "it backs off"
            await conn.execute("UPDATE workers SET lost_at = lost_at - interval '6 s'")
            await back_off_ends(conn)
        return job_id, became

    job_id, became = on(database_url, story)
    assert became == states
    assert state(db, job_id)[3] == ("QUARANTINED" if not spec else "WORKER_LOST")


async def lose(conn: AsyncConnection, worker: AWorker) -> str:
    (offer,) = await claim(conn, [worker.id])
    await accepts.accept(conn, [Claimant(offer.lease, worker.id)])
    (ended,) = await results.record_results(conn, [word(offer, "LOST", message="gone")])
    return ended.new_state


def test_a_job_that_is_lost_with_others_is_given_ten_tries(
    database_url: str, db: Connection
) -> None:
    """Whether they are lost in one statement, or one after the other within moments: none of them
    was alone."""

    async def story(conn: AsyncConnection) -> list[str]:
        worker = await ready_worker(conn)
        killer, innocent = await pending_job(conn), await pending_job(conn)
        for together in (True, False) * 2:
            offers = await claim(conn, [worker.id] * 2)
            assert {offer.job_id for offer in offers} == {killer, innocent}
            await accepts.accept(conn, [Claimant(offer.lease, worker.id) for offer in offers])
            lost = [word(offer, "LOST") for offer in offers]
            for some in [lost] if together else [[one] for one in lost]:
                await results.record_results(conn, some)
            await conn.execute("UPDATE workers SET lost_at = lost_at - interval '6 s'")
            await back_off_ends(conn)
        counted = db.execute("SELECT losses, lone_losses, state FROM jobs").fetchall()
        assert counted == [(4, 0, "PENDING")] * 2
        await cancels.cancel_queued(conn, innocent, "cli:test")
        await conn.execute("UPDATE jobs SET losses = 9 WHERE id = %s", [killer])
        return [await lose(conn, worker)]

    assert on(database_url, story) == ["FAILED"]
    assert db.execute("SELECT count(*) FROM jobs WHERE reason = 'QUARANTINED'").fetchone() == (1,)


def test_losses_back_off_ten_seconds_doubled_up_to_ten_minutes(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> list[float]:
        worker = await ready_worker(conn)
        await pending_job(conn)
        waits = []
        for losses in (0, 1, 2, 8):
            await conn.execute("UPDATE jobs SET losses = %s, lone_losses = 0", [losses])
            assert await lose(conn, worker) == "PENDING"
            due = "SELECT extract(epoch FROM q.ready_at - j.updated_at)::float8 FROM job_queue q CROSS JOIN jobs j"
            ((until,),) = db.execute(due).fetchall()
            waits.append(until)
            await back_off_ends(conn)
        return waits

    waits = on(database_url, story)
    assert all(
        0.74 * due <= waited <= 1.26 * due
        for due, waited in zip((10, 20, 40, 600), waits, strict=True)
    ), waits


def test_a_cancel_outlives_its_worker(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> uuid.UUID:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker, retries=5)
        assert await cancels.request_cancel(conn, offer.job_id, "cli:ana")
        assert not await cancels.request_cancel(conn, offer.job_id, "cli:ana"), "asked once"
        assert await leases.undelivered_cancels(conn, [worker.id]) == [
            Claimant(offer.lease, worker.id)
        ]
        shown = []
        for stopping in (False, True):
            await leases.cancel_delivered(conn, worker.id, [offer.lease], stopping=stopping)
            job = await jobs.get(conn, offer.job_id)
            shown.append(job and job.cancel)
        assert shown == ["delivered", "stopping"]
        assert await leases.undelivered_cancels(conn, [worker.id]) == []
        await results.record_results(conn, [word(offer, "LOST")])
        return offer.job_id

    assert state(db, on(database_url, story)) == ("CANCELLED", 1, None, "CANCELLED")


def test_a_cancelled_offer_ends_when_it_returns(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> uuid.UUID:
        worker = await ready_worker(conn)
        offer = await assigned_job(conn, worker)
        assert await cancels.request_cancel(conn, offer.job_id, "cli:ana")
        await releases.release(
            conn, [Claimant(offer.lease, worker.id)], "draining", f"worker:{worker.id}"
        )
        return offer.job_id

    assert state(db, on(database_url, story)) == ("CANCELLED", 0, None, "CANCELLED")
    assert queued(db) == []


def test_a_lost_workers_leases_are_found_and_a_silent_one_keeps_its_own(database_url: str) -> None:
    async def story(
        conn: AsyncConnection,
    ) -> tuple[list[stray_leases.Orphan], list[tuple[uuid.UUID, WorkerState]], Claimant]:
        silent, gone = await ready_worker(conn), await ready_worker(conn)
        await running_job(conn, silent)
        offer = await running_job(conn, gone)
        await silence(conn, silent, 45)
        await silence(conn, gone, 90)
        judged = [(row[0], row[1]) for row in await workers.judge_silent(conn, 30.0, 60.0)]
        assert judged == sorted([(silent.id, "UNREACHABLE"), (gone.id, "TERMINATED")])
        assert await workers.judge_silent(conn, 30.0, 60.0) == [], "once"
        return await stray_leases.orphaned(conn), judged, Claimant(offer.lease, gone.id)

    orphaned, _, claimant = on(database_url, story)
    assert orphaned == [(claimant, True)]


def test_nobody_is_lost_before_a_full_term_of_listening(database_url: str) -> None:
    """After an outage of the database or of all servers, silence counts from when somebody listens
    again (rule 6)."""

    async def story(conn: AsyncConnection) -> list[object]:
        worker = await ready_worker(conn)
        await silence(conn, worker, 3600)
        await conn.execute("UPDATE hodei_listening SET last_beat = now() - interval '10 minutes'")
        await sweep.look(conn, 30, 30)
        return list(await workers.judge_silent(conn, 30.0, 60.0))

    assert on(database_url, story) == []


def test_a_superseded_session_speaks_for_nobody(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> tuple[dict[uuid.UUID, bool], dict[uuid.UUID, bool]]:
        worker = await ready_worker(conn)
        old = await sessions.beat(
            conn,
            [
                sessions.Heartbeat(
                    worker.id, worker.session - 1, 0, draining=False, current_job_id=None
                )
            ],
            [],
        )
        now = await sessions.beat(
            conn,
            [sessions.Heartbeat(worker.id, worker.session, 0, draining=False, current_job_id=None)],
            [],
        )
        assert now == {worker.id: False}
        await lost_worker(conn)
        return old, now

    assert on(database_url, story)[0] == {}


def test_a_job_that_its_worker_has_forgotten_is_found(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> tuple[list[Claimant], list[Claimant], int]:
        worker = await ready_worker(conn)
        offer = await running_job(conn, worker)
        beat = sessions.Heartbeat(worker.id, worker.session, 1, draining=False, current_job_id=None)
        soon = await stray_leases.forgotten(conn, [worker.id], [])
        assert await sessions.beat(conn, [beat], []) == {worker.id: False}
        await conn.execute("UPDATE leases SET accepted_at = now() - interval '16 s'")
        assert await sessions.beat(conn, [beat], [Claimant(offer.lease, worker.id)]) == {
            worker.id: False
        }
        for held in ([], [Claimant(offer.lease, worker.id)], []):
            assert await sessions.beat(conn, [beat], held) == {worker.id: True}, (
                "not listed, or not listed the last time"
            )
            assert await stray_leases.forgotten(conn, [worker.id], held) == [], (
                "missing once, listed again, missing once"
            )
        return (
            soon,
            await stray_leases.forgotten(conn, [worker.id], []),
            len(
                await stray_leases.forgotten(conn, [worker.id], [Claimant(offer.lease, worker.id)])
            ),
        )

    soon, later, listed = on(database_url, story)
    assert (soon, len(later), listed) == ([], 1, 0)


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
