"""Rows that a hand has set, and locks and triggers of others: each costs its own job, and all
others go on."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import psycopg
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.eventually import eventually
from tests.running import Hodei
from verify.checker import violations

FAR = "'294276-12-31 23:59:59+00'::timestamptz"
HANDS: dict[str, str] = {
    "a time at the end of the calendar": f"UPDATE jobs SET updated_at = {FAR} WHERE id = %(job)s",
    "an infinite time": """
        UPDATE jobs
        SET updated_at = 'infinity', created_at = '-infinity'
        WHERE id = %(job)s
    """,
    "attempts that overflow": "UPDATE jobs SET attempts = 2147483647 WHERE id = %(job)s",
    "a silence beyond all bounds": """
        UPDATE jobs
        SET silence_timeout_ms = 9223372036854775807
        WHERE id = %(job)s
    """,
    "a time-out beyond all bounds": """
        UPDATE jobs
        SET timeout_ms = 9223372036854775807, grace_ms = 1
        WHERE id = %(job)s
    """,
    "a time-out that no calendar holds": """
        UPDATE jobs
        SET timeout_ms = 9223372036854775
        WHERE id = %(job)s
    """,
    "a spec of another shape": 'UPDATE jobs SET spec = \'{"command": [], "timeout": "x", "env": 7}\' WHERE id = %(job)s',
    "a leftover lease": (
        """
        INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, offered_at, accept_by)
        SELECT 1000000, id, gen_random_uuid(), 1, now(), now(), now() + interval '1 day'
        FROM jobs
        WHERE id = %(job)s
        """
    ),
    "no queue row": "DELETE FROM job_queue WHERE job_id = %(job)s",
    "an infinite age": "UPDATE job_queue SET enqueued_at = '-infinity' WHERE job_id = %(job)s",
    "a wait without end": """
        UPDATE job_queue
        SET waiting = 'RUN_AT', ready_at = 'infinity'
        WHERE job_id = %(job)s
    """,
    "due before all time": """
        UPDATE job_queue
        SET waiting = 'BACKOFF', ready_at = '-infinity'
        WHERE job_id = %(job)s
    """,
    "expired before all time": """
        UPDATE job_queue
        SET expires_at = '-infinity'
        WHERE job_id = %(job)s
    """,
    "a term beyond all bounds": """
        UPDATE job_queue
        SET unseen_ms = 9223372036854775807
        WHERE job_id = %(job)s
    """,
    "labels of another shape": "UPDATE job_queue SET labels = '[1, {\"a\": null}]' WHERE job_id = %(job)s",
    "a long correlation": "UPDATE jobs SET correlation_id = repeat('x', 9000) WHERE id = %(job)s",
    "a long actor": "UPDATE jobs SET actor = repeat('x', 50000) WHERE id = %(job)s",
    "negative counts": """
        UPDATE jobs
        SET attempts = -5, losses = -5, failures = -5, log_bytes = -5
        WHERE id = %(job)s
    """,
}


def test_rows_that_a_hand_has_set_cost_their_own_jobs(working: Hodei) -> None:
    """Each hand on a job of its own while the worker is drained; then all others run, and
    everything can be listed and shown."""
    worker_id = working.sql("SELECT id::text FROM workers")[0][0]
    working.ok("worker", "drain", worker_id)
    enqueue = (
        "SELECT hodei_enqueue(jsonb_build_object('name', %s::text, 'command', %s::text))::text"
    )
    touched = {}
    for name, hand in HANDS.items():
        ((touched[name],),) = working.sql(enqueue, name, "true")
        working.conn.execute(hand.encode(), {"job": touched[name]})
    honest = [working.sql(enqueue, "honest", "echo honest")[0][0] for _ in range(20)]
    working.ok("worker", "drain", "--undo", worker_id)
    working.all_succeeded(honest)
    working.look_is_due()

    def unfinished() -> list[str]:
        states = dict(working.sql("SELECT id::text, state FROM jobs"))
        waiting = {"a wait without end", "labels of another shape"}
        return [
            f"{name}: {states[job]}"
            for name, job in touched.items()
            if name not in waiting and states[job] in ("PENDING", "RUNNING")
        ]

    deadline = time.monotonic() + 60
    while (left := unfinished()) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == [], working.log("server-0")[-6000:]
    assert "is invalid" not in working.log("worker"), "a frame of a server"
    listed = working.ok("job", "list", "--limit", "100", "--format", "json").json
    assert {job["job_id"] for job in listed} >= set(touched.values()) | set(honest)
    for job_id in touched.values():
        for verb in ("get", "timeline", "attempts"):
            assert working.run("job", verb, job_id).code == 0, (
                verb,
                working.run("job", verb, job_id),
            )
        working.run("job", "cancel", job_id)
    assert working.sql("SELECT name FROM jobs WHERE completed_at IS NULL") == [], (
        "whatever waited could be cancelled"
    )
    rejected = dict(working.sql("SELECT name, message FROM jobs WHERE reason = 'REJECTED'"))
    assert "attempts that overflow" in rejected
    log = working.log("server-0") + working.log("server-1")
    assert touched["attempts that overflow"] in log
    assert "Traceback" not in log


@contextmanager
def locked(working: Hodei, statement: str, *parameters: object) -> Iterator[None]:
    with psycopg.connect(working.url) as other:
        other.execute(statement.encode(), parameters or None)
        yield
        other.rollback()


def test_jobs_go_on_while_the_row_of_one_is_locked(working: Hodei) -> None:
    """Its claim, its result and its log wait; those of others do not."""
    gate = working.folder / "gate"
    held = working.submit("--command", f"until [ -e {gate} ]; do sleep 0.1; done; echo end")
    working.until(held, "RUNNING")
    queued = working.submit("--priority", "10", "--run-at", "+1s", "--command", "echo queued")
    with locked(working, "SELECT FROM jobs WHERE id = ANY (%s::uuid[]) FOR UPDATE", [held, queued]):
        gate.touch()
        began = time.monotonic()
        for _ in range(8):
            working.all_succeeded([working.submit("--command", "echo others")])
        assert time.monotonic() - began < 60
        assert working.sql("SELECT state FROM jobs WHERE id = %s", held) == [("RUNNING",)]
    assert working.finish(held)["state"] == "SUCCEEDED"
    assert working.finish(queued)["state"] == "SUCCEEDED"
    assert violations(working.conn) == []


def test_the_log_says_that_nothing_moves_because_of_a_lock(working: Hodei) -> None:
    job = working.submit("--run-at", "+1s", "--command", "true")
    with locked(working, "SELECT FROM jobs WHERE id = %s FOR UPDATE", job):
        eventually(
            lambda: (
                f"Ready jobs cannot be claimed, as {job}: another transaction has locked its row"
                in working.log("server-0") + working.log("server-1")
            ),
            most_s=20,
        )
        assert "with the labels" not in working.log("server-0") + working.log("server-1")
    assert working.finish(job)["state"] == "SUCCEEDED"


def test_heartbeats_of_others_are_stored_while_the_row_of_one_worker_is_locked(
    working: Hodei,
) -> None:
    working.stack.worker("other", working.addresses[0], working.folder / "other", working.token())
    one, other = (row[0] for row in working.sql("SELECT id FROM workers ORDER BY created_at"))
    with locked(working, "SELECT FROM workers WHERE id = %s FOR UPDATE", one):
        before = working.sql("SELECT last_heartbeat FROM workers WHERE id = %s", other)
        eventually(
            lambda: (
                working.sql("SELECT last_heartbeat FROM workers WHERE id = %s", other) != before
            ),
            most_s=25,
        )
    assert working.sql("SELECT count(*) FROM workers WHERE connected") == [(2,)]


TRIGGERS = {
    "swallows": "IF NEW.name = 'bad' THEN RETURN NULL; END IF; RETURN NEW;",
    "raises": "IF NEW.name = 'bad' THEN RAISE EXCEPTION 'not this one' USING DETAIL = 'S3CRET'; END IF; RETURN NEW;",
    "divides by zero": "PERFORM 1 / (NEW.name <> 'bad')::integer; RETURN NEW;",
    "looks for a table": "IF NEW.name = 'bad' THEN PERFORM FROM no_such_table; END IF; RETURN NEW;",
    **{
        f"speaks of {state}, as if the database were at fault": f"""
            IF NEW.name = 'bad' THEN
                RAISE EXCEPTION 'not this one' USING ERRCODE = '{state}', DETAIL = 'S3CRET';
            END IF;
            RETURN NEW;"""
        for state in (
            "42501",
            "08001",
            "53100",
            "40001",
            "57014",
            "57P01",
            "25006",
            "0A000",
            "26000",
        )
    },
}


@pytest.fixture
def trigger(hodei: Hodei) -> Iterator[Callable[[str, str], None]]:
    """Makes one on jobs, of this test only; the jobs that it has held up are cancelled."""

    def make(when: str, body: str) -> None:
        hodei.sql(
            f"CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
        )
        hodei.sql(
            f"CREATE TRIGGER theirs BEFORE {when} ON jobs FOR EACH ROW EXECUTE FUNCTION theirs()"
        )

    yield make
    hodei.sql("DROP FUNCTION theirs CASCADE")
    for (job_id,) in hodei.sql("SELECT id::text FROM jobs WHERE completed_at IS NULL"):
        hodei.run("job", "cancel", job_id)


@pytest.mark.parametrize("body", TRIGGERS.values(), ids=TRIGGERS)
@pytest.mark.parametrize("when", ["INSERT", "UPDATE"])
def test_a_trigger_of_others_that_refuses_one_job_costs_that_job(
    body: str, when: str, hodei: Hodei, trigger: Callable[[str, str], None]
) -> None:
    trigger(when, body)
    specs = [
        json.dumps({"command": "true", "name": "bad" if n == 7 else "good"}) for n in range(20)
    ]
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        entries = stub.CreateJobs(pb.CreateJobsRequest(specs=specs), timeout=30).entries
    if when == "INSERT":
        assert [n for n, entry in enumerate(entries) if entry.error] == [7], entries[7]
    good = [entry.job_id for n, entry in enumerate(entries) if n != 7]
    hodei.all_succeeded(good)
    log = hodei.log("server-0") + hodei.log("server-1")
    assert "S3CRET" not in log
    assert all(part.process.poll() is None for part in hodei.stack.parts), "no process has ended"


def test_a_queue_that_a_hand_has_emptied_is_filled_again(working: Hodei) -> None:
    """Found within 30 s; a cancel need not wait for that."""
    worker_id = working.sql("SELECT id::text FROM workers")[0][0]
    working.ok("worker", "drain", worker_id)
    ids = [working.submit("--label", f"zone={n}", "--command", "true") for n in range(5)]
    working.sql("DELETE FROM job_queue")
    working.ok("job", "cancel", ids[0])
    assert working.job(ids[0])["state"] == "CANCELLED"
    eventually(lambda: working.sql("SELECT count(*) FROM job_queue")[0][0] == 4, most_s=35)
    requeued = (
        "SELECT count(DISTINCT aggregate_id) FROM domain_events WHERE event_type = 'JobRequeued'"
    )
    assert working.sql(requeued) == [(4,)]
    assert violations(working.conn) == []


def test_the_term_of_a_queue_timeout_begins_when_the_job_can_be_seen(working: Hodei) -> None:
    """Its transaction was open for longer than the term."""
    with psycopg.connect(working.url) as other:
        row = other.execute(
            """SELECT hodei_enqueue('{"command": "true", "queue_timeout": 5}')"""
        ).fetchone()
        assert row
        time.sleep(6)
        other.commit()
    assert working.finish(str(row[0]))["state"] == "SUCCEEDED"


def test_a_job_whose_row_cannot_be_written_can_be_cancelled_all_the_same(working: Hodei) -> None:
    worker_id = working.sql("SELECT id::text FROM workers")[0][0]
    working.ok("worker", "drain", worker_id)
    for hand in (
        f"UPDATE jobs SET updated_at = {FAR} WHERE id = %(job)s",
        "UPDATE jobs SET updated_at = 'infinity' WHERE id = %(job)s",
    ):
        job_id = working.submit("--run-at", "+1h", "--command", "true")
        working.conn.execute(hand.encode(), {"job": job_id})
        ran = working.run("job", "cancel", job_id)
        assert "internal error" not in ran.err
        assert working.job(job_id)["state"] in ("CANCELLED", "FAILED")
    assert "Traceback" not in working.log("server-0") + working.log("server-1")


def test_a_lease_with_versions_of_another_shape_costs_no_worker(working: Hodei) -> None:
    """It connects again, says what it holds, and goes on."""
    gate = working.folder / "gate"
    command = f"until [ -e {gate} ]; do sleep 0.1; done"
    jobs = [working.submit("--on-lost", "fail", "--command", command) for _ in range(3)]
    for job, value in zip(jobs, ("[]", '{"a": 1e400}', '"x"'), strict=True):
        working.until(job, "RUNNING")
        working.sql("UPDATE leases SET secrets = %s WHERE job_id = %s", value, job)
    holder = f"server-{working.holder()}"
    (left,) = (part for part in working.stack.parts if part.name == holder)
    left.process.kill()
    time.sleep(3)
    gate.touch()
    working.all_succeeded(jobs)
    assert "Traceback" not in working.log("server-0") + working.log("server-1")
