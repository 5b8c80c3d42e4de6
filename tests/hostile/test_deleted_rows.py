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
    eventually(lambda: working.sql(query) == waits, most_s=35)
    assert waits[0][0] == "BACKOFF"
    assert working.job(job)["attempts"] == ran


def test_each_running_job_whose_lease_was_deleted_has_one_end(working: Hodei) -> None:
    """Its worker may have been refused before the row is written anew: then the attempt is lost,
    and the job runs again or not, as it says."""
    gate = working.folder / "gate"
    command = f"until [ -e {gate} ]; do sleep 0.1; done"
    again = working.submit("--command", command)
    never = working.submit("--command", command, "--on-lost", "fail")
    for job in (again, never):
        working.until(job, "RUNNING")
    working.sql("DELETE FROM leases")
    deleted = time.monotonic()
    words = "its lease was gone: it is written anew"
    eventually(
        lambda: (working.log("server-0") + working.log("server-1")).count(words) == 2, most_s=35
    )
    assert time.monotonic() - deleted < 30
    gate.touch()
    assert working.finish(again)["state"] == "SUCCEEDED"
    ended = working.finish(never)
    assert ended["state"] == "SUCCEEDED" or ended["reason"] == "WORKER_LOST", ended
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
    eventually(lambda: working.sql(left) == [(0, 0)], most_s=30)
    eventually(lambda: gone(int(pid.read_text())), most_s=30)
    assert working.ok("job", "run", "--command", "echo on").text == "on\n"
    log = working.log("server-0") + working.log("server-1")
    assert log.count("leases had no job and are gone") == 1
    assert log.count("rows of job_queue had no job that waits and are gone") == 1
