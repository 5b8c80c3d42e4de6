"""The dispatcher with streams that lead nowhere, on PostgreSQL: whom it asks for, how often, and
what a create takes along."""

import asyncio
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from hodei.domain.ids import uuid7
from hodei.domain.project import DEFAULT
from hodei.fleet.presence import Presence
from hodei.fleet.stream import WorkerStream
from hodei.flow.dispatch import FEW, MOST_PAUSE_S, JobDispatcher
from hodei.flow.enqueue import Enqueuer
from hodei.flow.label_sets import MOST_SETS
from hodei.store.claims import Position
from hodei.store.creation import NewJob
from hodei.store.database import Database
from tests.conftest import Connection


class Scene:
    def __init__(self, database: Database) -> None:
        self.presence = Presence()
        self.dispatcher = JobDispatcher(database, self.presence)
        self.enqueuer = Enqueuer(database, self.dispatcher)

    def worker(self, slots: int, **labels: str) -> WorkerStream:
        stream = WorkerStream(uuid7(), 1, slots, labels, draining=False)
        self.presence.add(stream)
        return stream

    async def round(self) -> bool:
        return await self.dispatcher._round()


def played(url: str, story: Callable[[Scene], Awaitable[None]]) -> None:
    async def play() -> None:
        async with Database(url) as database, asyncio.TaskGroup() as group:
            scene = Scene(database)
            service = group.create_task(scene.enqueuer.run())
            await story(scene)
            service.cancel()

    asyncio.run(play())


def spec(**labels: str) -> str:
    return (
        '{"command": "true", "labels": {'
        + ", ".join(f'"{key}": "{value}"' for key, value in labels.items())
        + "}}"
    )


def transactions(db: Connection, job_id: Any) -> list[tuple[str, str]]:
    return db.execute(
        """
        SELECT event_type, xmin::text
        FROM domain_events
        WHERE aggregate_id = %s
        ORDER BY occurred_at
        """,
        [str(job_id)],
    ).fetchall()


def test_a_lone_create_takes_its_claim_along(database_url: str, db: Connection) -> None:
    async def story(scene: Scene) -> None:
        stream = scene.worker(1)
        (first,) = await scene.enqueuer.create([spec()], "cli:ana", DEFAULT)
        (second,) = await scene.enqueuer.create([spec()], "cli:ana", DEFAULT)
        assert list(stream.held.values()) == [first.job_id], "the only slot is taken by the first"
        (created, at), (assigned, then) = transactions(db, first.job_id)
        assert (created, assigned, at) == ("JobCreated", "JobAssigned", then)
        assert len(transactions(db, second.job_id)) == 1

    played(database_url, story)


def test_a_create_takes_nothing_along_for_workers_without_its_labels(
    database_url: str, db: Connection
) -> None:
    async def story(scene: Scene) -> None:
        scene.worker(4, zone="b")
        fitting = scene.worker(4, zone="a", gpu="a100")
        (created,) = await scene.enqueuer.create([spec(gpu="a100")], "cli:ana", DEFAULT)
        assert list(fitting.held.values()) == [created.job_id]
        (lonely,) = await scene.enqueuer.create([spec(gpu="h100")], "cli:ana", DEFAULT)
        assert len(transactions(db, lonely.job_id)) == 1

    played(database_url, story)


def test_many_creates_together_leave_the_claim_to_the_dispatcher(
    database_url: str, db: Connection
) -> None:
    async def story(scene: Scene) -> None:
        stream = scene.worker(100)
        created = await scene.enqueuer.create([spec()] * (FEW + 1), "cli:ana", DEFAULT)
        assert not stream.held
        await scene.round()
        assert set(stream.held.values()) == {one.job_id for one in created}

    played(database_url, story)


def test_while_a_claim_is_under_way_a_create_takes_none_along(database_url: str) -> None:
    async def story(scene: Scene) -> None:
        scene.worker(1)
        new = NewJob(uuid7(), "cli:ana", {})
        with (
            scene.dispatcher._claim_along([new]) as first,
            scene.dispatcher._claim_along([new]) as second,
        ):
            assert first is not None
            assert second is None, "both would count on the same slot"

    played(database_url, story)


def test_a_fleet_of_many_label_sets_is_asked_for_in_turns(
    database_url: str, db: Connection
) -> None:
    """Each worker has labels of its own. Who can run what waits at the head is asked first; each
    job is found within a few rounds."""

    async def story(scene: Scene) -> None:
        streams = [scene.worker(1, name=str(n)) for n in range(5 * MOST_SETS)]
        await scene.enqueuer.create([spec(name="37")] * (FEW + 1), "cli:ana", DEFAULT)
        await scene.round()
        assert [len(stream.held) for stream in streams if stream.held] == [1], (
            "the one of 50 that fits, in the first round"
        )
        db.execute(
            """
            INSERT INTO job_queue (job_id, labels, priority)
            SELECT gen_random_uuid(), %s, 5
            FROM generate_series(1, 1500)
            """,
            ['{"name": "nobody"}'],
        )
        hidden = await scene.enqueuer.create([spec(name="12")] * (FEW + 1), "cli:ana", DEFAULT)
        for _ in range(5):
            await scene.round()
        assert set(streams[12].held.values()) < {one.job_id for one in hidden}, (
            "behind 1,500 that nobody can run"
        )
        assert len(streams[12].held) == 1

    played(database_url, story)


def test_looks_at_jobs_that_nobody_can_run_get_rarer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look a second, of an hour by a clock of the test's own."""
    now = 1_000.0
    monkeypatch.setattr("hodei.flow.dispatch.time", SimpleNamespace(monotonic=lambda: now))

    async def story(scene: Scene) -> None:
        nonlocal now
        dispatcher = scene.dispatcher
        woken = []
        for second in range(3600):
            now = 1_000.0 + second
            dispatcher.observe(ready=True)
            if dispatcher._wake.is_set():
                woken.append(second)
                dispatcher._wake.clear()
        pauses = [after - before for before, after in itertools.pairwise(woken)]
        assert pauses[:4] == [1, 2, 4, 8]
        assert set(pauses[10:]) == {int(MOST_PAUSE_S)}
        now += 1
        dispatcher.observe(ready=False)
        dispatcher.observe(ready=True)
        assert dispatcher._wake.is_set(), "what is there now is something else"

    played(database_url, story)


def test_a_second_look_at_once_does_not_wake_again(database_url: str) -> None:
    async def story(scene: Scene) -> None:
        dispatcher = scene.dispatcher
        dispatcher.observe(ready=True)
        assert dispatcher._wake.is_set()
        dispatcher._wake.clear()
        dispatcher.observe(ready=True)
        assert not dispatcher._wake.is_set(), "a second has not passed"
        dispatcher.observe(ready=False)
        dispatcher.observe(ready=True)
        assert dispatcher._wake.is_set(), (
            "the queue was empty meanwhile: what is there now is something else"
        )

    played(database_url, story)


def test_what_lies_before_the_place_of_claims_is_found_at_the_next_look(
    database_url: str,
) -> None:
    """As offers that returned while the database stalled: a claim took long then."""

    async def story(scene: Scene) -> None:
        stream = scene.worker(1)
        await scene.round()
        (head,) = scene.dispatcher._heads.values()
        beyond = Position(0, time.time_ns() // 1000 + 3_600_000_000)
        head.ended(None, beyond, asyncio.get_running_loop().time(), 1.0)
        await scene.enqueuer.create([spec()], "cli:ana", DEFAULT)
        await scene.round()
        assert not stream.held
        scene.dispatcher.observe(ready=True)
        await scene.round()
        assert len(stream.held) == 1

    played(database_url, story)


def test_claims_go_on_beyond_a_place(database_url: str, db: Connection) -> None:
    from hodei.store import claims
    from tests.factories import on

    jobs = [
        db.execute("""SELECT hodei_enqueue('{"command": "true"}')""").fetchall()[0][0]
        for _ in range(4)
    ]
    ((urgent,),) = db.execute(
        """SELECT hodei_enqueue('{"command": "true", "priority": 9}')"""
    ).fetchall()

    async def story(conn: Any) -> list[list[uuid.UUID]]:
        worker, taken = uuid7(), []
        beyond = None
        for number, place in ((2, True), (1, False), (5, False), (5, True)):
            wish = claims.ClaimRequest([worker] * number, {}, None if place else beyond)
            claimed = await claims.claim(conn, wish, 10.0)
            taken.append([offer.job_id for offer in claimed.offers])
            beyond = claimed.last or beyond
            if number == 2:
                beyond = claimed.last
                db.execute(
                    """
                    UPDATE job_queue
                    SET enqueued_at = enqueued_at - interval '1 hour'
                    WHERE job_id = %s
                    """,
                    [jobs[3]],
                )
        return taken

    assert on(database_url, story) == [[urgent, jobs[0]], [jobs[1]], [jobs[2]], [jobs[3]]], (
        "what came to lie before it waits for the head"
    )
