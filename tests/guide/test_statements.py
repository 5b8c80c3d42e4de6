"""Every SQL statement of the user's guide: the rows it must show, and a case in which it must be
silent."""

import re
from collections import Counter

import pytest

from hodei.store import sessions
from hodei.store.database import Connection as AsyncConnection
from tests.conftest import Connection
from tests.factories import (
    assigned_job,
    final_job,
    lost_worker,
    on,
    pending_job,
    ready_worker,
    running_job,
)
from tests.guide.statement_cases import (
    ALWAYS_SILENT,
    COUNTS_OF_NOTHING,
    SHOWS,
    STATEMENTS,
    WRITES,
    Scene,
    ask,
    column,
    ids,
)


async def _full(conn: AsyncConnection) -> Scene:
    live = await ready_worker(conn, name="live")
    finished = await final_job(conn, live, correlation_id="workflow-123")
    failed = await final_job(conn, live, "FAILED", correlation_id="workflow-123")
    running = await running_job(conn, live)
    offered = await assigned_job(conn, live)
    lost = await lost_worker(conn)
    await sessions.beat(
        conn,
        [
            sessions.Heartbeat(
                live.id, live.session, 1, draining=False, current_job_id=running.job_id
            )
        ],
        [],
    )
    queued = await pending_job(conn)
    jobs = [str(offer.job_id) for offer in (finished, failed, running, offered)]
    return Scene(jobs[0], jobs[1], jobs[2], jobs[3], str(queued), live.id, lost.id)


@pytest.fixture
def scene(database_url: str, db: Connection) -> Scene:
    db.execute("INSERT INTO provider_configs (name, provider_type) VALUES ('Docker', 'Docker')")
    db.execute("INSERT INTO worker_bootstrap_tokens DEFAULT VALUES")
    return on(database_url, _full)


def test_every_statement_of_the_guide_has_its_case() -> None:
    assert set(STATEMENTS) == set(SHOWS) | ALWAYS_SILENT | WRITES
    assert len(STATEMENTS) == 53


def test_each_shows_what_it_must(db: Connection, scene: Scene) -> None:
    assert [name for name, shows in SHOWS.items() if not shows(db, scene)] == []


def test_each_is_silent_on_a_system_in_which_nothing_has_happened(db: Connection) -> None:
    for name in SHOWS:
        assert ask(db, name) == COUNTS_OF_NOTHING.get(name, []), name


def test_each_about_one_job_is_silent_about_an_unknown_one(db: Connection, scene: Scene) -> None:
    about_one = [
        n for n, text in STATEMENTS.items() if re.search(r"\$JOB_ID|TU_JOB_ID|<JOB_ID>", text)
    ]
    assert len(about_one) > 15
    for name in about_one:
        assert ask(db, name) == COUNTS_OF_NOTHING.get(name, []), name


def test_the_detectors_are_silent_here_and_speak_when_the_audit_is_broken(
    db: Connection, scene: Scene
) -> None:
    assert ask(db, "changed_without_events") == []
    assert ask(db, "out_of_order", scene.finished) == []
    db.execute(
        """
        UPDATE domain_events
        SET event_type = 'JobAssigned'
        WHERE id = (SELECT max(id) FROM domain_events WHERE aggregate_id = %s)
        """,
        [scene.finished],
    )
    assert column(ask(db, "out_of_order", scene.finished), 0) == [scene.finished]
    db.execute("DELETE FROM domain_events WHERE aggregate_id = %s", [scene.finished])
    assert column(ask(db, "changed_without_events"), 0) == ids(scene.finished)
    assert Counter(column(ask(db, "jobs_without_audit"), 3))["⚠️ Sin eventos"] == 1


def test_a_pending_job_without_queue_row_is_only_ever_an_offer(
    db: Connection, scene: Scene
) -> None:
    (offered,) = ask(db, "pending_without_queue_row")
    assert db.execute(
        "SELECT accepted_at FROM leases WHERE job_id = %s", [offered[0]]
    ).fetchall() == [(None,)]


def test_its_inserts_work(db: Connection) -> None:
    for _ in range(2):
        db.execute(STATEMENTS["provider_insert"].encode())
    assert db.execute(
        "SELECT name, status, config->>'socket_path' FROM provider_configs"
    ).fetchall() == [("Docker", "ACTIVE", "/var/run/docker.sock")]
    (token,) = db.execute(STATEMENTS["token_insert"].encode()).fetchone() or ()
    assert ask(db, "usable_tokens")[0][0] == token
    db.execute(STATEMENTS["clean"].encode())
    assert db.execute(
        "SELECT to_regclass('jobs'), to_regclass('domain_events') IS NULL"
    ).fetchone() == (None, False)
