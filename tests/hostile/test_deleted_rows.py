"""Rows that an operator has deleted under jobs that wait or run: each job has one end, found by
itself."""

import time

from tests.eventually import eventually, gone
from tests.running import Hodei
from verify.checker import violations


def test_a_back_off_goes_on_when_the_queue_is_emptied(working: Hodei) -> None:
    job = working.submit("--command", "exit 1", "--retries", "9")
    working.sql("UPDATE jobs SET failures = 7")  # of a job that has run once, or never
    query = "SELECT waiting, ready_at FROM job_queue WHERE ready_at > now() + interval '60 s'"
    eventually(lambda: working.sql(query) != [])
    waits, ran = working.sql(query), working.job(job)["attempts"]
    working.sql("DELETE FROM job_queue")
    working.look_is_due()
    eventually(lambda: working.sql(query) == waits, most_s=35)
    assert waits[0][0] == "BACKOFF"
    assert working.job(job)["attempts"] == ran


WORDS = "its lease was gone, or was none of a running job: it is written anew"


def test_running_jobs_whose_leases_were_deleted_go_on(working: Hodei) -> None:
    """Whatever their worker says of them next: a heartbeat, a piece of a log, a result."""
    gate = working.folder / "gate"
    waits = f"until [ -e {gate} ]; do sleep 0.1; done"
    writes = f"n=0; until [ -e {gate} ]; do n=$((n + 1)); echo $n; sleep 0.02; done; echo $n"
    ends = f"until [ -e {gate}.first ]; do sleep 0.01; done; echo end"
    jobs = [
        working.submit("--on-lost", "fail", "--command", command)
        for command in (waits, writes, ends)
    ]
    for job in jobs:
        working.until(job, "RUNNING")
    for _ in range(3):
        working.sql("DELETE FROM leases")
        (working.folder / "gate.first").touch()
        time.sleep(2)
    gate.touch()
    for job in jobs:
        ended = working.finish(job)
        assert (ended["state"], ended["attempts"]) == ("SUCCEEDED", 1), ended
        assert ended["logs_complete"]
    lines = working.wrote(jobs[1]).split()
    assert lines == [*map(str, range(1, int(lines[-1]) + 1)), lines[-1]], "each once"
    assert WORDS in working.log("server-0") + working.log("server-1")
    assert "refused" not in working.log("server-0") + working.log("server-1")
    assert working.sql("SELECT count(*) FROM leases") == [(0,)]
    assert violations(working.conn) == []


def test_what_is_left_of_jobs_whose_rows_were_deleted_goes(working: Hodei) -> None:
    """A lease and a queue row without a job; the worker is told to end what it runs."""
    pid = working.folder / "pid"
    working.until(working.submit("--command", f"echo $$ >{pid}; exec sleep 1000"), "RUNNING")
    working.submit("--label", "zone=nowhere", "--command", "true")
    working.sql("DELETE FROM jobs")
    left = "SELECT (SELECT count(*) FROM leases), (SELECT count(*) FROM job_queue)"
    assert working.sql(left) == [(1, 1)]
    working.look_is_due()
    eventually(lambda: working.sql(left) == [(0, 0)], most_s=30)
    eventually(lambda: gone(int(pid.read_text())), most_s=30)
    assert working.ok("job", "run", "--command", "echo on").text == "on\n"
    log = working.log("server-0") + working.log("server-1")
    assert log.count("leases had no job and are gone") == 1
    assert log.count("rows of job_queue had no job that waits and are gone") == 1


def test_an_offer_whose_lease_was_deleted_runs_once(working: Hodei) -> None:
    """It waits behind a job that runs."""
    gate = working.folder / "gate"
    running = [
        working.submit("--command", f"until [ -e {gate} ]; do sleep 0.1; done") for _ in range(4)
    ]
    for job in running:
        working.until(job, "RUNNING")
    waiting = [working.submit("--on-lost", "fail", "--command", "echo once") for _ in range(4)]
    time.sleep(0.3)
    working.sql("DELETE FROM leases")
    time.sleep(3)
    gate.touch()
    working.all_succeeded([*running, *waiting])
    for job in waiting:
        assert working.job(job)["attempts"] == 1
        assert working.wrote(job, "once") == "once\n"
    assert violations(working.conn) == []


SILENT = """
INSERT INTO workers (id, name, state, last_heartbeat, slots)
VALUES (gen_random_uuid(), 'silent', 'READY', now(), 1)
RETURNING id
"""


def test_jobs_and_leases_that_contradict_each_other_cost_their_own_jobs(working: Hodei) -> None:
    gate = working.folder / "gate"
    waits = f"until [ -e {gate} ]; do sleep 0.1; done"
    honest, offered, given_away, double = jobs = [
        working.submit("--on-lost", "fail", "--command", waits) for _ in range(4)
    ]
    for job in jobs:
        working.until(job, "RUNNING")
    before = len(working.log("server-0")), len(working.log("server-1"))
    ((silent,),) = working.sql(SILENT)
    working.sql("UPDATE leases SET worker_id = %s WHERE job_id = %s", silent, given_away)
    of_nobody = "accepted_at = NULL, worker_id = gen_random_uuid()"
    working.sql(f"UPDATE leases SET {of_nobody} WHERE job_id = %s", offered)
    same = "UPDATE jobs SET lease = o.lease FROM jobs o WHERE o.id = %s AND jobs.id = %s"
    working.sql(same, honest, double)
    working.look_is_due()
    eventually(lambda: working.job(double)["reason"] == "REJECTED", most_s=35)
    late = "SELECT id FROM domain_events WHERE event_type = 'JobLateResult' AND aggregate_id = %s"
    eventually(lambda: working.sql(late, given_away) != [], most_s=35)
    working.sql("DELETE FROM workers WHERE id = %s", silent)
    assert working.finish(given_away)["reason"] == "WORKER_LOST"
    gate.touch()
    working.all_succeeded([honest, offered, working.submit("--command", "true")])
    assert working.job(offered)["attempts"] == 1
    log = working.log("server-0")[before[0] :] + working.log("server-1")[before[1] :]
    assert "stream is closed" not in log
    assert log.count(WORDS) == 1


def test_a_worker_that_comes_back_before_its_lease_is_written_anew_stops_the_job(
    fresh: Hodei,
) -> None:
    """That attempt is lost, and the job's `on_lost` says what comes of it."""
    state, addresses = fresh.folder / "w", ",".join(fresh.addresses)
    keep = ("--on-worker-exit", "keep")
    agent = fresh.stack.worker("worker", addresses, state, fresh.token(), *keep)
    pid = fresh.folder / "pid"
    job = fresh.submit("--on-lost", "fail", "--command", f"echo $$ >{pid}; exec sleep 1000")
    fresh.until(job, "RUNNING")
    agent.process.kill()
    agent.process.wait()
    fresh.sql("UPDATE hodei_listening SET checked_at = clock_timestamp()")
    fresh.sql("DELETE FROM leases")
    fresh.stack.worker("again", addresses, state, None, *keep)
    eventually(lambda: gone(int(pid.read_text())))
    fresh.look_is_due()
    ended = fresh.finish(job)
    assert (ended["state"], ended["reason"], ended["attempts"]) == ("FAILED", "WORKER_LOST", 1)
    assert violations(fresh.conn) == []
