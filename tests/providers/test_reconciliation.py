"""Reconciliations of a provider, with a real database and an engine that is scripted: what is made, what is
said, and what a second server does."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hodei.providers.contract import Provider
from hodei.providers.reconciliation import Here, Next, Reconciliation
from hodei.store import cluster
from hodei.store.database import Database
from tests.conftest import Connection
from tests.providers.dummy import Dummy

ONE, TWO = uuid.UUID(int=1), uuid.UUID(int=2)
HERE = Here(ONE, ("server-1:50051",), only_loopback=False)


@pytest.fixture
def dummy() -> Dummy:
    return Dummy()


@pytest.fixture
def provider(db: Connection, database_url: str) -> uuid.UUID:
    """The guide's row, and three jobs that wait for a worker."""
    cluster.adopt_sync(database_url, keep_id=False)
    db.execute("""SELECT hodei_enqueue('{"command": "true"}') FROM generate_series(1, 3)""")
    db.execute("UPDATE job_queue SET enqueued_at = now() - interval '5 s'")
    row = db.execute(
        "INSERT INTO provider_configs (name, provider_type, config, max_workers)"
        " VALUES ('Docker', 'Docker', '{\"socket_path\": \"/var/run/docker.sock\"}', 2) RETURNING id"
    ).fetchone()
    assert row
    found: uuid.UUID = row[0]
    return found


def reconciled(
    url: str,
    provider: uuid.UUID,
    dummy: Dummy,
    *heres: Here,
    between: Callable[[], object] = lambda: None,
) -> list[Next]:
    """One reconciliation of each server, one after the other; `between` is called before each."""

    async def all_of_them() -> list[Next]:
        async with Database(url) as database:
            found = []
            known: dict[uuid.UUID, Reconciliation] = {}
            where = await database.run(cluster.where)
            for here in heres or (HERE,):
                between()
                make: Callable[[Any], Provider] = lambda _: dummy  # noqa: E731
                one = Reconciliation(database, here, provider, make)
                found.append(await known.setdefault(here.server_id, one).once(where))
            return found

    return asyncio.run(all_of_them())


def row(db: Connection, columns: str) -> tuple[Any, ...]:
    found = db.execute(f"SELECT {columns} FROM provider_configs".encode()).fetchone()
    assert found
    return found


def registered(db: Connection, dummy: Dummy, **columns: str) -> None:
    """The workers that were made come up, as servers write it."""
    for order in dummy.orders:
        said = {"state": "'READY'", "connected": "true", "slots": "1"} | columns
        db.execute(
            f"INSERT INTO workers (id, name, last_heartbeat, connected_at, {', '.join(said)})"
            f" VALUES (%s, %s, now(), now(), {', '.join(said.values())}) ON CONFLICT DO NOTHING".encode(),
            [order.worker_id, order.name],
        )


def test_the_guides_row_makes_workers_with_a_token_for_each_alone(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    assert reconciled(database_url, provider, dummy) == [Next.SOON]
    assert [order.number for order in dummy.orders] == [1, 2]
    assert [order.servers for order in dummy.orders] == [("server-1:50051",)] * 2
    tokens = db.execute(
        "SELECT token::text, worker_id, created_by, expires_at - created_at < interval '10 min'"
        " FROM worker_bootstrap_tokens ORDER BY created_at"
    ).fetchall()
    assert tokens == [
        (order.token, order.worker_id, "system:providers", True) for order in dummy.orders
    ]
    assert reconciled(database_url, provider, dummy) == [Next.AGAIN], "what is starting counts"
    assert len(dummy.orders) == 2
    assert row(db, "status_reason, engine_id, seen->>'starting'") == ("", "ENGINE-A", "2")


def test_jobs_with_secrets_are_demand_where_this_server_decrypts(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    db.execute("DELETE FROM job_queue")
    db.execute(
        "INSERT INTO secrets (project, name, version, key_id, sealed)"
        " VALUES ('default', 'a', 1, 'k', '')"
    )
    db.execute("""SELECT hodei_enqueue('{"command": "x", "env": {"A": {"secret": "a"}}}')""")
    db.execute("UPDATE job_queue SET enqueued_at = now() - interval '5 s'")
    reconciled(database_url, provider, dummy)
    assert dummy.orders == []
    decrypting = replace(HERE, decrypts=True)
    reconciled(database_url, provider, dummy, decrypting)
    assert len(dummy.orders) == 1
    assert row(db, "seen->'labels'->>'hodei/secrets', seen->>'demand'") == ("yes", "1")


def test_a_stranger_with_a_workers_name_is_a_failure_and_leaves_no_token(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    (cluster_id,) = db.execute("SELECT cluster_id FROM hodei_schema").fetchone() or ()
    name = f"hodei-worker-{cluster_id.hex[:8]}-{provider.hex[:8]}-1"
    dummy.taken.add(name)
    reconciled(database_url, provider, dummy, HERE, HERE, HERE)
    words = f"{name} could not be started: the name {name} is taken by a container that is not ours"
    assert words in row(db, "status_reason")[0]
    assert row(db, "failures") == (1,), "it is tried again after a while"
    tokens = "SELECT count(*), count(revoked_at) FROM worker_bootstrap_tokens"
    assert db.execute(tokens).fetchone() == (1, 1)


def test_an_order_whose_instance_another_server_has_made_is_void(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    reconciled(database_url, provider, dummy)
    made, dummy.made = dummy.made, {}
    others = {name: (uuid.UUID(int=0), one) for name, (_, one) in made.items()}
    dummy.made.update(others)  # not listed: it came after the list
    reconciled(database_url, provider, dummy)
    assert dummy.made == others
    tokens = "SELECT count(*), count(revoked_at) FROM worker_bootstrap_tokens"
    assert db.execute(tokens).fetchone() == (4, 2)
    assert row(db, "failures, status_reason") == (0, "")


def test_a_second_server_waits_until_the_first_has_gone(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    other = replace(HERE, server_id=TWO)
    assert reconciled(database_url, provider, dummy, HERE, other, other)[1:] == [Next.AGAIN] * 2
    assert row(db, "reconciler_id") == (ONE,)
    db.execute("UPDATE provider_configs SET reconciler_until = now() - interval '1 s'")
    reconciled(database_url, provider, dummy, other)
    assert row(db, "reconciler_id") == (TWO,)
    assert len(dummy.orders) == 2, "it goes on with what is there"


def test_a_server_that_cannot_leaves_the_row_to_one_that_can(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    on_loopback = Here(TWO, ("server-1:50051",), only_loopback=True)
    silent = Here(TWO, (), only_loopback=False)
    for here, words in ((on_loopback, "loopback only"), (silent, "no address")):
        assert reconciled(database_url, provider, dummy, here) == [Next.YIELD]
        assert words in row(db, "status_reason")[0]
        assert row(db, "reconciler_id, status, failures") == (None, "ACTIVE", 0)
    assert reconciled(database_url, provider, dummy, HERE, on_loopback) == [Next.SOON, Next.AGAIN]
    assert row(db, "status_reason") == ("",)


def test_an_engine_without_the_image_makes_none_and_is_no_failure(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    dummy.engine = replace(dummy.engine, has_image=False)
    reconciled(database_url, provider, dummy)
    assert row(db, "status_reason")[0].startswith("no image hodei:")
    assert (dummy.orders, row(db, "failures, status")) == ([], (0, "ACTIVE"))


def test_another_engine_is_not_taken_until_it_is_adopted(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    reconciled(database_url, provider, dummy)
    other = Dummy(replace(dummy.engine, id="ENGINE-B\x1b[31m"))
    assert reconciled(database_url, provider, other) == [Next.YIELD]
    words = "no server reaches engine ENGINE-A: the one that answers is ENGINE-B\\x1b[31m"
    assert words in row(db, "status_reason")[0]
    assert other.orders == []
    db.execute("UPDATE provider_configs SET engine_id = NULL")
    reconciled(database_url, provider, other)
    assert len(other.orders) == 2


def test_a_copy_of_the_database_touches_nothing(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    reconciled(database_url, provider, dummy)
    for name in list(dummy.made):
        dummy.end(name)
    db.execute("UPDATE hodei_schema SET lives_in = '1/2'")
    reconciled(database_url, provider, dummy)
    assert "this database is a copy" in row(db, "status_reason")[0]
    assert len(dummy.made) == 2
    cluster.adopt_sync(database_url, keep_id=False)
    reconciled(database_url, provider, dummy)
    assert len(dummy.made) == 4, "the original's two are left, under other names"
    assert len({order.cluster_id for order in dummy.orders}) == 2


def test_an_engine_that_is_away_is_said_and_comes_back(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    dummy.gone = "no engine answers at /var/run/docker.sock: Connection refused"
    assert reconciled(database_url, provider, dummy) == [Next.YIELD]
    assert row(db, "status_reason, failures") == (dummy.gone, 0)
    dummy.gone = ""
    reconciled(database_url, provider, dummy)
    assert row(db, "status_reason") == ("",)


def test_failures_open_the_breaker_and_a_worker_that_comes_up_closes_it(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    later = "UPDATE provider_configs SET failed_at = failed_at - interval '1 h'"
    dummy.refuses = "the engine refused: no space left on device"
    reconciled(database_url, provider, dummy, HERE, HERE)
    assert row(db, "failures, status") == (1, "ACTIVE"), "the second one waits"
    words = "could not be started: the engine refused: no space left on device; the next one"
    assert words in row(db, "status_reason")[0]
    reconciled(database_url, provider, dummy, HERE, HERE, between=lambda: db.execute(later))
    assert row(db, "failures, status") == (3, "DEGRADED")
    revoked = "SELECT count(*) FROM worker_bootstrap_tokens WHERE revoked_at IS NULL"
    assert db.execute(revoked).fetchone() == (0,)
    dummy.refuses = ""
    db.execute(later)
    reconciled(database_url, provider, dummy)
    assert len(dummy.orders) == 1, "one at a time"
    assert row(db, "failures, status") == (3, "DEGRADED")
    registered(db, dummy)
    reconciled(database_url, provider, dummy)
    assert row(db, "failures, status, status_reason") == (0, "ACTIVE", "")
    assert len(dummy.orders) == 2


def test_a_worker_that_never_comes_is_removed_and_its_address_is_named(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    reconciled(database_url, provider, dummy)
    for name, (cluster_id, one) in list(dummy.made.items()):
        dummy.made[name] = cluster_id, replace(one, made_s=one.made_s - 200)
    reconciled(database_url, provider, dummy)
    assert dummy.made == {}
    said = row(db, "status_reason")[0]
    assert "did not come up at server-1:50051: it did not connect within 120 s" in said
    assert row(db, "failures") == (1,), "several in one reconciliation are one failure"


def test_idle_workers_are_drained_revoked_and_removed(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    reconciled(database_url, provider, dummy)
    registered(db, dummy, updated_at="now() - interval '1 h'")
    db.execute("UPDATE workers SET connected_at = now() - interval '1 h'")
    db.execute("DELETE FROM job_queue")
    reconciled(database_url, provider, dummy)
    drained = "SELECT count(*) FROM workers WHERE draining AND drained_by = 'system:providers'"
    assert db.execute(drained).fetchone() == (2,)
    reconciled(database_url, provider, dummy)
    assert len(dummy.made) == 2, "a server may not have heard of it yet"
    db.execute("UPDATE workers SET drained_at = now() - interval '4 s'")
    reconciled(database_url, provider, dummy)
    assert dummy.made == {}
    assert db.execute("SELECT count(*) FROM workers WHERE revoked_at IS NOT NULL").fetchone() == (
        2,
    )


def test_of_two_providers_the_higher_priority_makes_the_workers(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    second = db.execute(
        "INSERT INTO provider_configs (name, provider_type, priority)"
        " VALUES ('first', 'docker', 5) RETURNING id"
    ).fetchone()
    assert second
    db.execute("DELETE FROM job_queue")
    reconciled(database_url, second[0], Dummy())
    db.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
    db.execute("UPDATE job_queue SET enqueued_at = now() - interval '5 s'")
    reconciled(database_url, provider, dummy)
    assert dummy.orders == []
    db.execute("UPDATE provider_configs SET status_reason = 'no engine' WHERE name = 'first'")
    reconciled(database_url, provider, dummy)
    assert len(dummy.orders) == 1


def test_settings_that_changed_get_another_connection_to_the_engine(
    db: Connection, database_url: str, provider: uuid.UUID, dummy: Dummy
) -> None:
    statements = iter(["SELECT", "SELECT", "UPDATE provider_configs SET config = '{\"slots\": 2}'"])
    reconciled(
        database_url,
        provider,
        dummy,
        HERE,
        HERE,
        HERE,
        between=lambda: db.execute(next(statements).encode()),
    )
    assert dummy.closed == 1
