"""A database that was restored to an earlier time: no number is given twice, no token counts, and what
workers say about claims that it does not know is kept."""

import uuid

import psycopg
import pytest

from hodei.domain.errors import Conflict
from hodei.store import late_results, restored, worker_bootstrap_tokens
from hodei.store.database import Connection as AsyncConnection
from hodei.store.late_results import Late
from tests.conftest import Connection
from tests.factories import assigned_job, on, pending_job, ready_worker, running_job, word

ACTOR = "cli:ana"


def epoch_us(db: Connection) -> int:
    found = db.execute(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    ).fetchone()
    assert found
    return int(found[0])


def test_the_next_claim_gets_a_number_that_was_never_given(
    database_url: str, db: Connection
) -> None:
    before = epoch_us(db)
    done = restored.make_safe(database_url, ACTOR)
    assert before <= done.next_lease <= epoch_us(db)

    async def claimed(conn: AsyncConnection) -> int:
        return (await assigned_job(conn, await ready_worker(conn))).lease

    assert on(database_url, claimed) == done.next_lease
    again = restored.make_safe(database_url, ACTOR)
    assert again.next_lease > done.next_lease
    assert on(database_url, claimed) == again.next_lease


def test_a_sequence_that_is_ahead_of_the_clock_is_never_moved_back(
    database_url: str, db: Connection
) -> None:
    db.execute("SELECT setval('hodei_lease_seq', 4000000000000000)")
    assert restored.make_safe(database_url, ACTOR).next_lease == 4_000_000_000_000_001


def test_no_token_can_be_redeemed_and_no_provider_makes_workers(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> None:
        token = await worker_bootstrap_tokens.mint(conn, uuid.UUID(int=0), 3600, ACTOR)
        db.execute(
            """
            INSERT INTO provider_configs (name, provider_type, status)
            VALUES ('a', 'docker', 'ACTIVE'), ('b', 'docker', ' degraded '),
                   ('c', 'docker', 'PAUSED'), ('d', 'docker', 'BROKEN')
            """
        )
        done = restored.make_safe(database_url, ACTOR)
        assert (done.tokens, done.providers) == (1, ["a", "b"])
        who = worker_bootstrap_tokens.Newcomer(uuid.uuid4(), b"s" * 32, "w", "1")
        assert not await worker_bootstrap_tokens.redeem(conn, token.token, who)
        assert await worker_bootstrap_tokens.state(conn, str(token.token)) == "CONSUMED"

    on(database_url, story)
    statuses = db.execute("SELECT status FROM provider_configs ORDER BY name").fetchall()
    assert statuses == [("PAUSED",), ("PAUSED",), ("PAUSED",), ("BROKEN",)]
    again = restored.make_safe(database_url, ACTOR)
    assert (again.tokens, again.providers) == (0, [])


def test_the_result_of_a_lost_claim_is_kept_once_and_only_for_a_job_that_was_there(
    database_url: str, db: Connection
) -> None:
    """A worker may not write into any job's story by naming numbers."""

    async def story(conn: AsyncConnection) -> None:
        worker = await ready_worker(conn)
        known = await running_job(conn, worker)
        there = await pending_job(conn)
        unknown = word(known)._replace(lease=known.lease + 1000)
        assert not (await late_results.record_late(conn, Late(there, unknown))).now, "no restore"
        done = restored.make_safe(database_url, ACTOR)
        later = await pending_job(conn)
        for job_id, lease, kept in (
            (there, done.next_lease, False),
            (later, unknown.lease, False),
            (uuid.uuid4(), unknown.lease, False),
            (there, unknown.lease, True),
            (there, unknown.lease, False),
            (there, unknown.lease + 1, False),
        ):
            late = Late(job_id, unknown._replace(lease=lease))
            recorded = await late_results.record_late(conn, late)
            assert (recorded.stored, recorded.now) == (True, kept), (job_id, lease)

    on(database_url, story)
    ((payload, state),) = db.execute(
        """
        SELECT e.payload, j.state
        FROM domain_events e
        JOIN jobs j ON j.id::text = e.aggregate_id
        WHERE e.event_type = 'JobLateResult'
        """
    ).fetchall()
    assert (payload["restored"], payload["outcome"], state) == (True, "SUCCEEDED", "PENDING")
    assert "attempt" not in payload


def test_who_does_not_own_the_schema_is_told_so_and_nothing_is_changed(
    database_url: str, db: Connection
) -> None:
    role = f"r{uuid.uuid4().hex[:8]}"
    db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'".encode())
    db.execute(f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}".encode())
    url = psycopg.conninfo.make_conninfo(database_url, user=role, password="x")
    try:
        with pytest.raises(Conflict, match="must be owner"):
            restored.make_safe(url, ACTOR)
        assert db.execute("SELECT restored_at FROM hodei_schema").fetchone() == (None,)
    finally:
        db.execute(f"DROP OWNED BY {role}".encode())
        db.execute(f"DROP ROLE {role}".encode())
