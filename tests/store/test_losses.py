"""Retries, losses, cancels and workers that fall silent, on PostgreSQL."""

import uuid

import psycopg
import pytest

from hodei.domain.worker import WorkerState
from hodei.store import (
    accepts,
    cancels,
    jobs,
    leases,
    releases,
    results,
    sessions,
    silent_workers,
    stray_leases,
    sweep,
)
from hodei.store.database import Connection as AsyncConnection
from hodei.store.leases import Claimant
from tests.conftest import Connection
from tests.factories import (
    AWorker,
    assigned_job,
    back_off_ends,
    claim,
    on,
    pending_job,
    promote,
    ready_worker,
    running_job,
    silence,
    word,
)
from tests.store.looks import queued, state


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
            due = """
                SELECT extract(epoch FROM q.ready_at - j.updated_at)::float8
                FROM job_queue q
                CROSS JOIN jobs j
            """
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


@pytest.mark.parametrize("ran", [True, False])
def test_a_cancel_that_nobody_asked_for_is_none(
    ran: bool, database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> uuid.UUID:
        worker = await ready_worker(conn)
        offer = await (running_job if ran else assigned_job)(conn, worker, retries=3)
        said = word(offer, "CANCELLED", ran=ran, reason="CANCELLED", message="cancelled")
        (ended,) = await results.record_results(conn, [said])
        assert (ended.new_state, ended.reason) == ("FAILED", "INTERNAL")
        job = await jobs.get(conn, offer.job_id)
        assert job
        assert job.message == results.UNASKED
        return offer.job_id

    assert state(db, on(database_url, story)) == ("FAILED", int(ran), None, "INTERNAL")
    assert queued(db) == []


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
        judged = [(row[0], row[1]) for row in await silent_workers.judge_silent(conn, 30.0, 60.0)]
        assert judged == sorted([(silent.id, "UNREACHABLE"), (gone.id, "TERMINATED")])
        assert await silent_workers.judge_silent(conn, 30.0, 60.0) == [], "once"
        return await stray_leases.orphaned(conn), judged, Claimant(offer.lease, gone.id)

    orphaned, _, claimant = on(database_url, story)
    assert orphaned == [(claimant, True)]


def test_a_silent_worker_is_spared_whose_row_is_or_was_locked(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> None:
        locked, beating, other = [await ready_worker(conn) for _ in range(3)]
        await silence(conn, locked, 90)
        await silence(conn, other, 90)
        with psycopg.connect(database_url) as somebody:
            lock = "SELECT FROM workers WHERE id = ANY (%s) FOR UPDATE"
            somebody.execute(lock, [[locked.id, beating.id]])
            spared = await silent_workers.locked(conn, 30.0)
            assert spared == [locked.id]
        assert await silent_workers.locked(conn, 30.0) == []
        judged = await silent_workers.judge_silent(conn, 30.0, 60.0, spared)
        assert [one.worker_id for one in judged] == [other.id]
        judged = await silent_workers.judge_silent(conn, 30.0, 60.0)
        assert [one.worker_id for one in judged] == [locked.id]

    on(database_url, story)


def test_nobody_is_lost_before_a_full_term_of_listening(database_url: str) -> None:
    """After an outage of the database or of all servers, silence counts from when somebody listens
    again (rule 6)."""

    async def story(conn: AsyncConnection) -> list[object]:
        worker = await ready_worker(conn)
        await silence(conn, worker, 3600)
        await conn.execute("UPDATE hodei_listening SET last_beat = now() - interval '10 minutes'")
        await sweep.look(conn, 30, 30)
        return list(await silent_workers.judge_silent(conn, 30.0, 60.0))

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
        return old, now

    old, now = on(database_url, story)
    assert old == {}
    assert list(now.values()) == [False]


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
