"""Limits, attempts and cancels as users meet them, through the real programs."""

import json
import time

from tests.eventually import eventually
from tests.running import Hodei


def attempts(hodei: Hodei, job_id: str) -> list[tuple[object, ...]]:
    found = hodei.ok("job", "attempts", job_id, "--format", "json").json
    return [(a["attempt"], a["outcome"], a["reason"], a["exit_code"]) for a in found]


def test_a_job_that_falls_silent_is_ended(hodei: Hodei) -> None:
    ran = hodei.run("job", "run", "--silence-timeout", "1", "--command", "for n in 1 2 3; do echo $n; sleep 0.6; done; sleep 60")
    assert (ran.code, ran.text) == (124, "1\n2\n3\n")
    assert "wrote nothing for longer than its silence_timeout of 1 s" in ran.err


def test_a_job_that_waits_too_long_is_ended(hodei: Hodei) -> None:
    ran = hodei.run("job", "run", "--queue-timeout", "1", "--label", "zone=nowhere", "--command", "true")
    assert ran.code == 124
    assert "waited in the queue longer than 1 s" in ran.err


def test_attempts_and_their_logs_are_kept_apart(hodei: Hodei) -> None:
    command = "echo attempt $HODEI_ATTEMPT; test $HODEI_ATTEMPT = 2"
    job_id = hodei.submit("--retries", "2", "--command", command)
    assert hodei.finish(job_id)["state"] == "SUCCEEDED"
    assert attempts(hodei, job_id) == [(1, "FAILED", "EXIT_NONZERO", 1), (2, "SUCCEEDED", None, 0)]
    ran = hodei.ok("job", "logs", job_id)
    assert ran.text == "attempt 1\nattempt 2\n"
    assert "hodei: attempt 2" in ran.err
    assert hodei.ok("job", "logs", "--attempt", "1", job_id).text == "attempt 1\n"
    assert "EXIT_NONZERO" in hodei.ok("job", "attempts", job_id).text


def test_a_final_exit_code_ends_the_job_at_once(hodei: Hodei) -> None:
    job_id = hodei.submit("--retries", "3", "--final-exit-code", "77", "--command", "exit 77")
    assert hodei.finish(job_id)["exit_code"] == 77
    assert len(attempts(hodei, job_id)) == 1


def test_a_cancel_shows_how_far_it_has_come(hodei: Hodei) -> None:
    command = "trap 'sleep 1; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    job_id = hodei.submit("--command", command, "--grace", "20")
    eventually(lambda: hodei.job(job_id)["state"] == "RUNNING" and hodei.ok("job", "logs", job_id).text == "up\n")
    hodei.ok("job", "cancel", job_id)
    eventually(lambda: hodei.job(job_id)["cancel"] == "stopping")
    job = hodei.finish(job_id)
    assert (job["state"], job["reason"], job["cancel"]) == ("CANCELLED", "CANCELLED", "")


def test_the_servers_end_what_a_worker_does_not(hodei: Hodei) -> None:
    """As if the worker's own timer had failed: the lease is overdue, the sweep ends it, the worker is refused and kills."""
    job_id = hodei.submit("--timeout", "600", "--command", "echo $$; exec sleep 600")
    eventually(lambda: hodei.ok("job", "logs", job_id).text != "")
    hodei.sql("UPDATE hodei_listening SET listening_since = listening_since - interval '1 hour'")
    hodei.sql("UPDATE leases SET end_by = clock_timestamp() WHERE job_id = %s", job_id)
    job = hodei.finish(job_id)
    assert (job["state"], job["reason"]) == ("FAILED", "TIMEOUT")
    story = "SELECT payload->>'outcome' FROM domain_events WHERE aggregate_id = %s AND event_type = 'JobLateResult'"
    eventually(lambda: hodei.sql(story, job_id) == [("LOST",)])
    assert hodei.job(job_id)["state"] == "FAILED", "the late word changes nothing"


def test_a_worker_that_lists_a_lease_nobody_gave_it_kills_that_job_and_its_log_is_kept_as_late(hodei: Hodei) -> None:
    """A job that is silent would never be refused by its own messages: the heartbeat tells."""
    job_id = hodei.submit("--on-lost", "fail", "--command", "trap 'echo bye' TERM; echo up; sleep 600 & wait; echo never")
    eventually(lambda: hodei.ok("job", "logs", job_id).text == "up\n")
    with hodei.conn.transaction():  # as a rescue by a server that took the worker for lost
        hodei.sql("DELETE FROM leases WHERE job_id = %s", job_id)
        hodei.sql("UPDATE jobs SET lease = NULL, state = 'FAILED', reason = 'WORKER_LOST', completed_at = updated_at WHERE id = %s", job_id)
    late = "SELECT count(*) FROM domain_events WHERE aggregate_id = %s AND event_type = 'JobLateResult'"
    eventually(lambda: hodei.sql(late, job_id) == [(1,)], 30)
    assert hodei.job(job_id)["state"] == "FAILED"


def test_a_job_that_has_started_is_not_taken_for_one_that_has_not(hodei: Hodei) -> None:
    job_id = hodei.submit("--start-timeout", "30", "--command", "echo up; sleep 60")
    eventually(lambda: hodei.sql("SELECT accepted_at IS NOT NULL, start_by FROM leases WHERE job_id = %s", job_id) == [(True, None)])
    hodei.ok("job", "cancel", job_id)
    hodei.finish(job_id)


def test_a_repeated_name_of_each_limit_stands_in_the_spec(hodei: Hodei) -> None:
    flags = ["--queue-timeout", "1h", "--start-timeout", "30", "--silence-timeout", "5m", "--final-exit-code", "2"]
    job_id = hodei.submit(*flags, "--command", "true")
    spec = hodei.finish(job_id)["spec"]
    assert json.loads(json.dumps(spec))["final_exit_codes"] == [2]
    assert (spec["queue_timeout"], spec["start_timeout"], spec["silence_timeout"]) == (3600, 30, 300)


def test_a_cancel_in_the_same_instant_as_the_exit_ends_once(hodei: Hodei) -> None:
    """Either word may win; there is exactly one end."""
    ids = [hodei.submit("--command", "sleep 0.3") for _ in range(6)]
    time.sleep(0.05)
    for job_id in ids:
        hodei.run("job", "cancel", job_id)
    for job_id in ids:
        job = hodei.finish(job_id)
        assert job["state"] in ("SUCCEEDED", "CANCELLED")
        ends = (
            "SELECT count(*) FROM domain_events WHERE aggregate_id = %s AND payload->>'new_state' IN ('SUCCEEDED', 'CANCELLED', 'FAILED')"
        )
        assert hodei.sql(ends, job_id) == [(1,)]
