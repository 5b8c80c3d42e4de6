"""Which of a worker's credentials count, and what ends them."""

from hodei.domain.ids import uuid7
from hodei.store import sessions, worker_bootstrap_tokens, worker_credentials, workers
from hodei.store.database import Connection as AsyncConnection
from hodei.store.sessions import Session
from hodei.store.worker_bootstrap_tokens import Newcomer
from hodei.store.worker_credentials import Refused
from tests.conftest import Connection
from tests.factories import SECRET_HASH, AWorker, on, ready_worker, renewed

NEXT, OTHER = b"n" * 32, b"o" * 32
HASHES = """
SELECT credential_sha256, next_credential_sha256, previous_credential_sha256 FROM workers
"""


async def connect(conn: AsyncConnection, worker: AWorker, secret_hash: bytes) -> Session | None:
    greeting = sessions.Greeting(worker.id, secret_hash, uuid7(), "w", "0", 4, 0, {})
    return await sessions.connect(conn, greeting, 0.0)


def test_the_next_one_counts_once_it_was_used_and_the_one_before_for_a_day(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        assert not await connect(conn, worker, NEXT)
        worker = await renewed(conn, worker, NEXT)
        assert db.execute(HASHES).fetchall() == [(NEXT, None, SECRET_HASH)]
        for secret_hash, outdated in ((NEXT, False), (SECRET_HASH, True)):
            session = await connect(conn, worker, secret_hash)
            assert session
            assert session.outdated == outdated
            assert 0 <= session.credential_age_s < 60
        db.execute("UPDATE workers SET credential_since = now() - interval '86401 s'")
        assert not await connect(conn, worker, SECRET_HASH)
        assert await worker_credentials.why_not(conn, worker.id, SECRET_HASH) is Refused.UNKNOWN
        assert await connect(conn, worker, NEXT)

    on(database_url, story)
    times = db.execute(
        "SELECT occurred_at FROM domain_events WHERE worker_id IS NOT NULL ORDER BY id"
    )
    assert len({at for (at,) in times.fetchall()}) == times.rowcount


def test_a_renewal_and_a_new_state_are_two_events_in_order(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        assert await worker_credentials.announce(conn, worker.id, worker.session, NEXT)
        await workers.drain(conn, worker.id, "cli:ana")
        db.execute("UPDATE workers SET draining = false")
        assert await connect(conn, worker, NEXT)

    on(database_url, story)
    told = db.execute("SELECT event_type FROM domain_events ORDER BY occurred_at DESC LIMIT 2")
    assert told.fetchall() == [("WorkerStatusChanged",), ("WorkerCredentialRenewed",)]
    late = "SELECT bool_and(occurred_at <= (SELECT updated_at FROM workers)) FROM domain_events"
    assert db.execute(late).fetchone() == (True,)


def test_only_the_newest_session_announces_and_nothing_is_its_own_successor(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        assert not await worker_credentials.announce(conn, worker.id, worker.session - 1, NEXT)
        assert await worker_credentials.announce(conn, worker.id, worker.session, NEXT)
        assert await worker_credentials.announce(conn, worker.id, worker.session, SECRET_HASH)
        assert db.execute(HASHES).fetchall() == [(SECRET_HASH, None, None)]
        await workers.revoke(conn, worker.id, "cli:ana")
        assert not await worker_credentials.announce(conn, worker.id, worker.session, NEXT)

    on(database_url, story)


def test_a_revoked_worker_gets_in_with_none_of_them(database_url: str, db: Connection) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await renewed(conn, await ready_worker(conn), NEXT)
        assert await worker_credentials.announce(conn, worker.id, worker.session, OTHER)
        assert await worker_credentials.why_not(conn, worker.id, NEXT) is Refused.DUPLICATE
        await workers.revoke(conn, worker.id, "cli:ana")
        for secret_hash in (SECRET_HASH, NEXT, OTHER):
            assert not await connect(conn, worker, secret_hash)
            assert await worker_credentials.why_not(conn, worker.id, secret_hash) is Refused.REVOKED
        for unknown in (b"", b"x" * 32):
            assert await worker_credentials.why_not(conn, worker.id, unknown) is Refused.UNKNOWN

    on(database_url, story)


def test_a_new_credential_ends_all_others_whoever_sets_it(
    database_url: str, db: Connection
) -> None:
    """A token that is bound to the worker's id; the release before has the same statement, and
    knows nothing of the other hashes."""

    async def story(conn: AsyncConnection) -> None:
        worker = await renewed(conn, await ready_worker(conn), NEXT)
        assert await worker_credentials.announce(conn, worker.id, worker.session, OTHER)
        token = await worker_bootstrap_tokens.mint(conn, worker.id, 60, "test")
        newcomer = Newcomer(worker.id, b"t" * 32, "w", "0")
        assert await worker_bootstrap_tokens.redeem(conn, token.token, newcomer)
        assert db.execute(HASHES).fetchall() == [(b"t" * 32, None, None)]
        worker = await renewed(conn, AWorker(worker.id, worker.session + 1), OTHER)
        db.execute("UPDATE workers SET credential_sha256 = %s", [NEXT])
        assert db.execute(HASHES).fetchall() == [(NEXT, None, None)]
        for secret_hash in (SECRET_HASH, b"t" * 32, OTHER):
            assert not await connect(conn, worker, secret_hash)

    on(database_url, story)


def test_the_age_of_a_credential_that_never_changed_is_the_workers(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        db.execute("UPDATE workers SET created_at = created_at - interval '40 days'")
        session = await connect(conn, worker, SECRET_HASH)
        assert session
        assert 40 * 86_400 <= session.credential_age_s < 40 * 86_400 + 60

    on(database_url, story)
