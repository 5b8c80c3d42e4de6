"""What is wrong with the database, or with rows that no job has, costs no innocent job."""

import json
import time

import grpc
import psycopg
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.eventually import eventually, gone
from tests.hostile.worker import HostileWorker
from tests.running import Hodei

ENQUEUE = 'SELECT hodei_enqueue(\'{"command": "true"}\')::text FROM generate_series(1, %s)'
REJECTED = "SELECT count(*) FROM jobs WHERE reason = 'REJECTED'"


def enqueued(hodei: Hodei, jobs: int) -> list[str]:
    return [row[0] for row in hodei.sql(ENQUEUE, jobs)]


def test_numbers_of_leases_that_are_given_twice(working: Hodei) -> None:
    gate = working.folder / "gate"
    command = f"until [ -e {gate} ]; do sleep 0.1; done"
    running = [working.submit("--command", command) for _ in range(3)]
    for job in running:
        working.until(job, "RUNNING")
    working.sql("SELECT setval('hodei_lease_seq', 1, false)")
    working.all_succeeded(enqueued(working, 8))
    gate.touch()
    working.all_succeeded(running)
    assert working.sql(REJECTED) == [(0,)]


def test_a_database_that_refuses_all_jobs_has_most_of_them_wait(working: Hodei) -> None:
    """By a constraint that no job satisfies."""
    working.sql("ALTER TABLE leases ADD CONSTRAINT mine CHECK (attempt > 5)")
    jobs = enqueued(working, 20)
    eventually(lambda: "none is at fault" in working.log("server-0") + working.log("server-1"))
    working.sql("ALTER TABLE leases DROP CONSTRAINT mine")
    eventually(
        lambda: (
            working.sql("SELECT count(*) FROM jobs WHERE completed_at IS NOT NULL")
            == [(len(jobs),)]
        ),
        most_s=40,
    )
    assert working.sql(REJECTED)[0][0] <= 6, "three of each server"


@pytest.mark.parametrize(
    "theirs", ["EXCLUDE (worker_id WITH =)", "UNIQUE (worker_id)", "UNIQUE (job_id, worker_id)"]
)
def test_leases_that_somebody_has_made_unique_cost_no_job(working: Hodei, theirs: str) -> None:
    """A worker has one job at a time then."""
    working.sql(f"ALTER TABLE leases ADD CONSTRAINT theirs {theirs}")
    working.all_succeeded(enqueued(working, 4))


def test_rows_of_the_queue_without_a_job_hold_nobody_up(working: Hodei) -> None:
    working.sql(
        "INSERT INTO job_queue (job_id, priority)"
        " SELECT gen_random_uuid(), 1000 FROM generate_series(1, 3000)"
    )
    working.look_is_due()
    job = working.submit("--command", "true")
    eventually(lambda: working.job(job)["state"] == "SUCCEEDED", most_s=35)
    assert working.sql("SELECT count(*) FROM job_queue") == [(0,)]


def test_a_job_that_is_queued_again_waits_for_its_time(working: Hodei) -> None:
    job = working.submit("--run-at", "+1h", "--command", "true")
    working.sql("DELETE FROM job_queue")
    working.look_is_due()
    query = "SELECT waiting, ready_at > now() + interval '50 minutes' FROM job_queue"
    eventually(lambda: working.sql(query) == [("RUN_AT", True)], most_s=35)
    assert working.job(job)["state"] == "PENDING"


def test_a_worker_row_beyond_all_bounds_keeps_no_other_from_being_judged(working: Hodei) -> None:
    working.sql("UPDATE hodei_listening SET listening_since = now() - interval '1 hour'")
    working.sql(
        """
        INSERT INTO workers (id, name, state, last_heartbeat, slots, updated_at, session)
        SELECT gen_random_uuid(), name, 'READY', now() - interval '5 minutes', 4, at, session
        FROM (VALUES
            ('far', '294276-12-31 23:59:59.999999+00'::timestamptz, 1),
            ('many', now(), 9223372036854775807),
            ('plain', now(), 1)) AS v (name, at, session)
        """
    )
    dead = "SELECT count(*) FROM workers WHERE state = 'TERMINATED'"
    eventually(lambda: working.sql(dead) == [(3,)], most_s=15)


def test_a_queue_row_beyond_all_bounds_keeps_no_term_from_beginning(working: Hodei) -> None:
    far = working.submit("--run-at", "+1h", "--queue-timeout", "1h", "--command", "true")
    working.sql(
        "UPDATE job_queue SET ready_at = '294276-12-31 23:59:59+00', unseen_ms = 1 WHERE job_id = %s",
        far,
    )
    job = working.submit("--label", "none=x", "--queue-timeout", "1s", "--command", "true")
    eventually(lambda: working.job(job)["state"] == "FAILED", most_s=15)


@pytest.mark.parametrize("took", ["1e308", "'NaN'"])
def test_a_look_for_broken_rows_that_took_for_ever_is_followed_by_another(
    working: Hodei, took: str
) -> None:
    working.sql(
        f"UPDATE hodei_listening SET check_took_s = {took}, checked_at = now() - interval '2 hours'"
    )
    query = "SELECT check_took_s < 60 FROM hodei_listening"
    eventually(lambda: working.sql(query) == [(True,)], most_s=15)


DEEP = "('{\"a\":' || repeat('[', 2500) || repeat(']', 2500) || '}')::jsonb"
LONG = "('{\"a\":' || repeat('9', 5000) || '}')::jsonb"


@pytest.mark.parametrize("value", [DEEP, LONG], ids=["deep", "a long number"])
def test_a_value_that_no_program_can_read_breaks_no_list(working: Hodei, value: str) -> None:
    job = working.submit("--label", "none=x", "--command", "true")
    working.sql(
        f"UPDATE workers SET about = {value}, labels = {value}, projects = ARRAY[NULL, 'a']"
    )
    working.sql(f"UPDATE job_queue SET labels = {value} WHERE job_id = %s", job)
    other = working.submit("--label", "none=x", "--command", "true")
    assert len(working.ok("job", "list", "--format", "json").json) == 2
    assert working.job(other)["state"] == "PENDING"
    assert "unreadable=" in working.ok("worker", "list", "--all").text
    working.ok("status")


def test_a_worker_that_gives_everything_back_writes_few_events(working: Hodei) -> None:
    """Twenty thousand a second, before."""
    labels = {"kind": "other"}
    jobs = [working.submit("--label", "kind=other", "--command", "true") for _ in range(20)]
    with HostileWorker(working.addresses[0], working.token(), slots=100, labels=labels) as rejects:
        until, seen = time.monotonic() + 5.0, 0
        while time.monotonic() < until:
            offers = [offer for frame in rejects.frames[seen:] for offer in frame.run]
            seen = len(rejects.frames)
            if offers:
                rejects.send(rejects=[pb.Reject(lease=one.lease, reason="no") for one in offers])
            time.sleep(0.001)
    events = "SELECT count(*) FROM domain_events WHERE event_type = 'JobUnassigned'"
    assert 20 <= working.sql(events)[0][0] < 20 * 6
    assert all(working.job(job)["state"] == "PENDING" for job in jobs)


def test_a_worker_that_is_revoked_keeps_no_job_running(one: Hodei) -> None:
    """By --on-worker-exit keep they outlive their agent, and would run twice at the same time."""
    keep = ("--on-worker-exit", "keep", "--slots", "2")
    worker = one.stack.worker("kept", one.addresses[0], one.folder / "kept", one.token(), *keep)
    pid = one.folder / "pid"
    job = one.submit("--command", f"echo $$ >{pid}; exec sleep 300")
    one.until(job, "RUNNING")
    eventually(lambda: pid.exists() and pid.read_text().strip())
    one.ok("worker", "revoke", one.sql("SELECT id::text FROM workers")[0][0])
    assert worker.process.wait(20) != 0
    eventually(lambda: gone(int(pid.read_text())), most_s=20)
    assert "was revoked: its 1 jobs are stopped" in one.log("kept")


def test_a_lock_that_a_trigger_waits_for_costs_no_job(working: Hodei) -> None:
    working.sql("CREATE TABLE theirs (n integer)")
    working.sql(
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.lease IS NOT NULL THEN INSERT INTO theirs VALUES (1); END IF;"
        " RETURN NEW; END $$"
    )
    working.sql(
        "CREATE TRIGGER theirs BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION theirs()"
    )
    with psycopg.connect(working.url) as other:
        other.execute("LOCK TABLE theirs IN ACCESS EXCLUSIVE MODE")
        jobs = enqueued(working, 3)
        time.sleep(3)
        other.rollback()
    working.all_succeeded(jobs)


@pytest.mark.parametrize("when", ["INSERT", "UPDATE"])
def test_a_job_that_is_refused_at_the_commit_costs_no_other(when: str, working: Hodei) -> None:
    """The error comes behind the answers of all statements."""
    working.sql(
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not this one' USING DETAIL = 'S3CRET'; END $$"
    )
    working.sql(
        f"CREATE CONSTRAINT TRIGGER theirs AFTER {when} ON jobs DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.name = 'bad') EXECUTE FUNCTION theirs()"
    )
    specs = [json.dumps({"command": "true", "name": name}) for name in ["bad", *["good"] * 19]]
    with grpc.insecure_channel(working.addresses[0]) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        entries = stub.CreateJobs(pb.CreateJobsRequest(specs=specs), timeout=30).entries
    refused = [entry.error for entry in entries if entry.error]
    assert refused == (["PostgreSQL refuses this job: not this one"] if when == "INSERT" else [])
    alone = working.run("job", "submit", "--name", "bad", "--command", "true")
    assert alone.code == (125 if when == "INSERT" else 0)
    assert ("PostgreSQL refuses this job: not this one" in alone.err) == (when == "INSERT")
    working.all_succeeded([entry.job_id for entry in entries[1:]])
    assert "S3CRET" not in working.log("server-0") + working.log("server-1")


def test_a_trigger_that_does_not_come_to_its_end_holds_up_its_own_job_only(
    working: Hodei,
) -> None:
    """A statement_timeout ends each statement that has this job in it; the job is the first of the
    queue."""
    name = working.conn.info.dbname
    working.sql(
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.name = 'slow' THEN PERFORM pg_sleep(2); END IF; RETURN NEW; END $$"
    )
    working.sql(
        "CREATE TRIGGER theirs BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION theirs()"
    )
    working.sql(f"ALTER DATABASE {name} SET statement_timeout = '500ms'")
    reconnect(working)
    slow = working.submit("--name", "slow", "--priority", "5", "--command", "true")
    working.all_succeeded(enqueued(working, 20))
    assert working.job(slow)["state"] == "PENDING"
    working.sql("DROP TRIGGER theirs ON jobs")
    working.all_succeeded([slow])


def test_a_trigger_that_does_not_come_to_its_end_is_not_tried_all_the_time(
    working: Hodei,
) -> None:
    """In each search for its job all others wait for some time-outs. A number that is drawn stays
    so when its transaction is taken back."""
    name = working.conn.info.dbname
    working.sql("CREATE SEQUENCE tries")
    working.sql(
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.name = 'slow' THEN PERFORM nextval('tries'), pg_sleep(20); END IF;"
        " RETURN NEW; END $$"
    )
    working.sql(
        "CREATE TRIGGER theirs BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION theirs()"
    )
    working.sql(f"ALTER DATABASE {name} SET statement_timeout = '1s'")
    reconnect(working)
    working.submit("--name", "slow", "--priority", "5", "--command", "true")
    working.all_succeeded(enqueued(working, 2))
    tries = working.sql("SELECT last_value FROM tries")
    for _ in range(8):  # in which it was tried six times more
        working.all_succeeded(enqueued(working, 2))
        time.sleep(1)
    assert working.sql("SELECT last_value FROM tries") == tries


def test_a_create_whose_trigger_does_not_come_to_its_end_is_found_by_halves(one: Hodei) -> None:
    """Each statement that has it in it takes as long as the statement_timeout, and the others of
    its call wait for that."""
    name = one.conn.info.dbname
    one.sql("CREATE SEQUENCE tries")
    one.sql(
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.name = 'slow' THEN PERFORM nextval('tries'), pg_sleep(2); END IF;"
        " RETURN NEW; END $$"
    )
    one.sql("CREATE TRIGGER theirs BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION theirs()")
    one.sql(f"ALTER DATABASE {name} SET statement_timeout = '300ms'")
    reconnect(one)
    specs = [json.dumps({"command": "true", "name": one}) for one in ["slow", *["good"] * 127]]
    with grpc.insecure_channel(one.addresses[0]) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        entries = stub.CreateJobs(pb.CreateJobsRequest(specs=specs), timeout=60).entries
    assert [entry.error_code for entry in entries] == ["UNAVAILABLE", *[""] * 127]
    assert one.sql("SELECT last_value FROM tries") == [(8,)], "1 + log2(128)"


def reconnect(hodei: Hodei) -> None:
    """Ends the connections of all programs, which then have what the database is set to."""
    hodei.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_a_database_that_turns_read_only_under_somebodys_trigger_costs_no_job(
    working: Hodei,
) -> None:
    name = working.conn.info.dbname
    working.sql("CREATE TABLE theirs (n integer)")
    working.sql(
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO theirs VALUES (1); RETURN NEW; END $$"
    )
    working.sql(
        "CREATE TRIGGER theirs BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION theirs()"
    )
    running = working.submit("--command", "sleep 2")
    working.until(running, "RUNNING")
    jobs = enqueued(working, 10)
    working.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    reconnect(working)
    time.sleep(5)
    working.sql("SET default_transaction_read_only = off")
    working.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    reconnect(working)
    working.all_succeeded([running, *jobs])
    assert working.sql(REJECTED) == [(0,)]
