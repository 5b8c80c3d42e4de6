"""Rows of provider_configs: one server looks after each, whatever a hand has written there."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hodei.domain.provider_seen import Seen
from hodei.store import cluster, provider_configs
from hodei.store.database import Connection, Database
from hodei.store.provider_configs import Conclusion
from tests.conftest import Connection as Sql

ME, OTHER = uuid.UUID(int=7), uuid.UUID(int=8)


def run(url: str, work: Callable[[Connection], Awaitable[Any]]) -> Any:
    async def once() -> Any:
        async with Database(url) as database:
            return await database.run(work)

    return asyncio.run(once())


def add(db: Sql, name: str = "Docker", status: str = "ACTIVE", priority: int = 0) -> uuid.UUID:
    statement = (
        "INSERT INTO provider_configs (name, provider_type, status, priority)"
        " VALUES (%s, 'Docker', %s, %s) RETURNING id"
    )
    found: uuid.UUID = db.execute(statement, [name, status, priority]).fetchone()[0]  # type: ignore[index]
    return found


def test_one_server_at_a_time_has_a_row_until_its_lease_passes(db: Sql, database_url: str) -> None:
    provider = add(db)

    async def work(conn: Connection) -> list[bool]:
        took = [
            await provider_configs.take_lease(conn, provider, server) is not None
            for server in (ME, OTHER, ME)
        ]
        await conn.execute("UPDATE provider_configs SET reconciler_until = now() - interval '1 s'")
        took.append(await provider_configs.take_lease(conn, provider, OTHER) is not None)
        await provider_configs.leave(conn, OTHER)
        took.append(await provider_configs.take_lease(conn, provider, ME) is not None)
        return took

    assert run(database_url, work) == [True, False, True, True, True]


def test_a_lease_of_the_future_is_no_lease(db: Sql, database_url: str) -> None:
    provider = add(db)
    db.execute(
        "UPDATE provider_configs SET reconciler_id = %s, reconciler_until = now() + interval '1 y'",
        [OTHER],
    )
    assert run(database_url, lambda conn: provider_configs.take_lease(conn, provider, ME))


@pytest.mark.parametrize("status", ["ACTIVE", "active", " Degraded", "paused"])
def test_known_words_of_status_are_looked_after_in_any_case(
    db: Sql, database_url: str, status: str
) -> None:
    provider = add(db, status=status)
    assert run(database_url, provider_configs.looked_after) == [provider]


def test_other_words_are_left_alone(db: Sql, database_url: str) -> None:
    provider = add(db, status="MAINTENANCE")
    assert run(database_url, provider_configs.looked_after) == []
    assert run(database_url, lambda conn: provider_configs.take_lease(conn, provider, ME)) is None


def test_only_the_server_that_has_the_row_notes_and_a_pause_stays(
    db: Sql, database_url: str
) -> None:
    provider = add(db)
    asked = "SELECT status, status_reason, failures, failed_at IS NOT NULL FROM provider_configs"
    conclusion = Conclusion("no engine", True, 3, True, Seen(workers=1))

    def note(server: uuid.UUID, what: Conclusion = conclusion) -> tuple[Any, ...]:
        run(database_url, lambda conn: provider_configs.note(conn, provider, server, what))
        return db.execute(asked).fetchone()  # type: ignore[return-value]

    run(database_url, lambda conn: provider_configs.take_lease(conn, provider, ME))
    assert note(OTHER) == ("ACTIVE", "", 0, False)
    assert note(ME) == ("DEGRADED", "no engine", 3, True)
    assert note(ME, Conclusion("", False, 0, False, Seen())) == ("ACTIVE", "", 0, False)
    db.execute("UPDATE provider_configs SET status = 'paused'")
    assert note(ME) == ("paused", "no engine", 3, True)
    note(ME, conclusion._replace(keeps=False))
    assert run(database_url, lambda conn: provider_configs.take_lease(conn, provider, OTHER))


def test_the_first_engine_stays_the_rows(db: Sql, database_url: str) -> None:
    provider = add(db)

    async def work(conn: Connection) -> list[bool]:
        await provider_configs.take_lease(conn, provider, ME)
        return [
            await provider_configs.set_engine(conn, provider, server, engine)
            for server, engine in ((OTHER, "B"), (ME, "A"), (ME, "B"))
        ]

    assert run(database_url, work) == [False, True, False]
    assert db.execute("SELECT engine_id FROM provider_configs").fetchone() == ("A",)


def test_demand_counts_jobs_that_such_a_worker_could_run_and_nobody_took(
    db: Sql, database_url: str
) -> None:
    for labels, count in (({}, 3), ({"zone": "a"}, 2), ({"zone": "b"}, 4)):
        spec = json.dumps({"command": "true", "labels": labels})
        db.execute("SELECT hodei_enqueue(%s) FROM generate_series(1, %s)", [spec, count])
    later = {"command": "true", "run_at": "2900-01-01T00:00:00Z"}
    db.execute("SELECT hodei_enqueue(%s)", [json.dumps(later)])

    def demand(labels: dict[str, str], *first: dict[str, str], most: int = 100) -> int:
        found: int = run(
            database_url, lambda conn: provider_configs.demand(conn, labels, first, most)
        )
        return found

    assert demand({}) == 0, "any worker has a second to take them"
    db.execute("UPDATE job_queue SET enqueued_at = now() - interval '2 s'")
    assert demand({}) == 3
    assert demand({"zone": "a", "more": "x"}) == 5
    assert demand({"zone": "a"}, most=4) == 4
    assert demand({"zone": "a"}, {"other": "x"}) == 2, "another provider takes the plain ones"
    assert demand({"zone": "a"}, {"zone": "a"}) == 0


def test_which_provider_comes_first(db: Sql, database_url: str) -> None:
    low, high = add(db, "low"), add(db, "high", priority=5)
    broken = add(db, "broken", priority=9)
    db.execute(
        "UPDATE provider_configs SET reconciler_until = now() + interval '9 s',"
        " status_reason = CASE WHEN name = 'broken' THEN 'no engine' ELSE '' END"
    )

    def first(asks: uuid.UUID) -> set[uuid.UUID]:
        found = run(database_url, lambda conn: provider_configs.all_providers(conn, asks))
        assert {one.id for one in found} == {low, high, broken}
        return {one.id for one in found if one.comes_first}

    assert (first(low), first(high), first(broken)) == ({high}, set(), set())


def test_a_database_that_was_copied_is_known_as_a_copy(db: Sql, database_url: str) -> None:
    assert run(database_url, cluster.where).is_copy, "each test has a copy of a template"
    cluster.adopt_sync(database_url, keep_id=True)
    assert not run(database_url, cluster.where).is_copy
    for elsewhere in ("1/2", "?/2"):
        db.execute("UPDATE hodei_schema SET lives_in = %s", [elsewhere])
        assert run(database_url, cluster.where).is_copy
    db.execute("UPDATE hodei_schema SET lives_in = '?/' || split_part(hodei_lives_in(), '/', 2)")
    assert not run(database_url, cluster.where).is_copy, "what a role may not read does not count"


def test_a_copy_is_adopted_with_a_new_id_or_the_old_one(db: Sql, database_url: str) -> None:
    cluster.adopt_sync(database_url, keep_id=True)
    before = run(database_url, cluster.where).cluster_id
    assert cluster.adopt_sync(database_url, keep_id=False) == (False, before)
    for keep in (True, False):
        db.execute("UPDATE hodei_schema SET lives_in = '1/2'")
        was_copy, now = cluster.adopt_sync(database_url, keep_id=keep)
        assert was_copy
        assert (now == before) is keep
        assert not run(database_url, cluster.where).is_copy
