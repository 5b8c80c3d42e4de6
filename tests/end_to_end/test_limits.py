"""Limits, attempts and cancels as users meet them, through the real programs."""

import hashlib
import queue
import signal
import time
import uuid
from contextlib import suppress
from pathlib import Path

import grpc

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.eventually import eventually
from tests.running import Hodei


def attempts(hodei: Hodei, job_id: str) -> list[tuple[object, ...]]:
    found = hodei.ok("job", "attempts", job_id, "--format", "json").json
    return [(a["attempt"], a["outcome"], a["reason"], a["exit_code"]) for a in found]


def test_a_job_that_falls_silent_is_ended(hodei: Hodei) -> None:
    ran = hodei.run(
        "job",
        "run",
        "--silence-timeout",
        "3",
        "--command",
        "for n in 1 2 3 4 5; do echo $n; sleep 0.7; done; sleep 60",
    )
    assert (ran.code, ran.text) == (124, "1\n2\n3\n4\n5\n")
    assert "wrote nothing for longer than its silence_timeout of 3 s" in ran.err


def test_a_job_that_waits_too_long_is_ended(hodei: Hodei) -> None:
    ran = hodei.run(
        "job", "run", "--queue-timeout", "1", "--label", "zone=nowhere", "--command", "true"
    )
    assert ran.code == 125
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


def test_a_cancel_shows_how_far_it_has_come(hodei: Hodei, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    ending = f"until [ -e {gate} ]; do sleep 0.05; done; exit 5"
    command = f"trap '{ending}' TERM; echo up; while :; do sleep 0.05; done"
    job_id = hodei.submit("--command", command, "--grace", "60")
    hodei.until(job_id, "RUNNING")
    hodei.wrote(job_id, "up\n")
    hodei.ok("job", "cancel", job_id)
    eventually(lambda: hodei.job(job_id)["cancel"] == "stopping")
    gate.touch()
    job = hodei.finish(job_id)
    assert (job["state"], job["reason"], job["cancel"]) == ("CANCELLED", "CANCELLED", None)


def test_the_servers_end_what_a_worker_does_not(hodei: Hodei) -> None:
    """As if the worker's own timer had failed: the lease is overdue, the sweep ends it, the worker
    is refused and kills."""
    job_id = hodei.submit("--timeout", "600", "--command", "echo $$; exec sleep 600")
    hodei.wrote(job_id)
    hodei.sql("UPDATE hodei_listening SET listening_since = listening_since - interval '1 hour'")
    hodei.sql("UPDATE leases SET end_by = clock_timestamp() WHERE job_id = %s", job_id)
    job = hodei.finish(job_id)
    assert (job["state"], job["reason"]) == ("FAILED", "TIMEOUT")
    story = """
        SELECT payload->>'outcome'
        FROM domain_events
        WHERE aggregate_id = %s
          AND event_type = 'JobLateResult'
    """
    eventually(lambda: hodei.sql(story, job_id) == [("LOST",)])
    assert hodei.job(job_id)["state"] == "FAILED", "the late word changes nothing"


def test_a_worker_that_lists_a_lease_nobody_gave_it_kills_that_job_and_its_log_is_kept_as_late(
    hodei: Hodei,
) -> None:
    """A job that is silent would never be refused by its own messages: the heartbeat tells."""
    job_id = hodei.submit(
        "--on-lost",
        "fail",
        "--command",
        "trap 'echo bye' TERM; echo up; sleep 600 & wait; echo never",
    )
    hodei.wrote(job_id, "up\n")
    with hodei.conn.transaction():  # as a rescue by a server that took the worker for lost
        hodei.sql("DELETE FROM leases WHERE job_id = %s", job_id)
        hodei.sql(
            """
            UPDATE jobs
            SET lease = NULL, state = 'FAILED', reason = 'WORKER_LOST', completed_at = updated_at
            WHERE id = %s
            """,
            job_id,
        )
    late = """
        SELECT count(*)
        FROM domain_events
        WHERE aggregate_id = %s
          AND event_type = 'JobLateResult'
    """
    eventually(lambda: hodei.sql(late, job_id) == [(1,)], 30)
    assert hodei.job(job_id)["state"] == "FAILED"


def test_a_job_that_has_started_is_not_taken_for_one_that_has_not(hodei: Hodei) -> None:
    job_id = hodei.submit("--start-timeout", "30", "--command", "echo up; sleep 60")
    eventually(
        lambda: (
            hodei.sql(
                "SELECT accepted_at IS NOT NULL, start_by FROM leases WHERE job_id = %s", job_id
            )
            == [(True, None)]
        )
    )
    hodei.ok("job", "cancel", job_id)
    hodei.finish(job_id)


def test_a_repeated_name_of_each_limit_stands_in_the_spec(hodei: Hodei) -> None:
    flags = [
        "--queue-timeout",
        "1h",
        "--start-timeout",
        "30",
        "--silence-timeout",
        "5m",
        "--final-exit-code",
        "2",
    ]
    job_id = hodei.submit(*flags, "--command", "true")
    spec = hodei.finish(job_id)["spec"]
    assert spec["final_exit_codes"] == [2]
    assert (spec["queue_timeout"], spec["start_timeout"], spec["silence_timeout"]) == (
        3600,
        30,
        300,
    )


def test_a_cancel_in_the_same_instant_as_the_exit_ends_once(hodei: Hodei) -> None:
    """Either word may win; there is exactly one end."""
    enqueue = (
        """SELECT hodei_enqueue('{"command": "sleep 0.3"}')::text FROM generate_series(1, 24)"""
    )
    ids = [job_id for (job_id,) in hodei.sql(enqueue)]
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        for job_id in ids:
            time.sleep(0.03)
            with suppress(grpc.RpcError):  # it has ended
                stub.CancelJob(pb.CancelJobRequest(job_id=job_id), timeout=30)
    left = "SELECT count(*) FROM jobs WHERE id = ANY (%s::uuid[]) AND completed_at IS NULL"
    eventually(lambda: hodei.sql(left, ids) == [(0,)])
    asked = "SELECT DISTINCT state FROM jobs WHERE id = ANY (%s::uuid[])"
    states = {state for (state,) in hodei.sql(asked, ids)}
    assert "CANCELLED" in states <= {"SUCCEEDED", "CANCELLED"}
    ends = """SELECT aggregate_id FROM domain_events
               WHERE aggregate_id = ANY (%s)
                 AND payload->>'new_state' IN ('SUCCEEDED', 'CANCELLED', 'FAILED')"""
    assert sorted(job_id for (job_id,) in hodei.sql(ends, ids)) == sorted(ids)


def test_an_offered_job_is_cancelled_as_soon_as_its_worker_answers_or_the_offer_lapses(
    fresh: Hodei,
) -> None:
    part = fresh.stack.worker("worker", fresh.addresses[0], fresh.folder / "w", fresh.token())
    part.process.send_signal(signal.SIGSTOP)
    job_id = fresh.submit("--command", "sleep 60")
    eventually(
        lambda: fresh.sql("SELECT accepted_at FROM leases WHERE job_id = %s", job_id) == [(None,)]
    )
    assert fresh.job(job_id)["state"] == "PENDING"
    fresh.ok("job", "cancel", job_id, server=1)
    assert fresh.job(job_id)["cancel"] == "requested"
    part.process.send_signal(signal.SIGCONT)
    job = fresh.finish(job_id)
    assert (job["state"], job["reason"]) == ("CANCELLED", "CANCELLED")


def test_a_job_that_its_living_worker_does_not_know_any_more_runs_again(fresh: Hodei) -> None:
    """A scripted worker accepts, and lists nothing in its heartbeats."""
    me, secret = str(uuid.uuid4()), b"s" * 32
    frames: queue.Queue[pb.WorkerFrame] = queue.Queue()
    with grpc.insecure_channel(fresh.addresses[0]) as channel:
        stub = hodei_pb2_grpc.WorkerServiceStub(channel)
        digest = hashlib.sha256(secret).digest()
        stub.Register(
            pb.RegisterRequest(
                token=fresh.token(), worker_id=me, secret_sha256=digest, name="forgetful"
            )
        )
        frames.put(
            pb.WorkerFrame(
                hello=pb.Hello(protocol_min=1, protocol_max=1, instance=str(uuid.uuid4()), slots=1)
            )
        )
        call = stub.Connect(
            iter(frames.get, None), metadata=(("authorization", f"Bearer {me}:{secret.hex()}"),)
        )
        next(call)
        job_id = fresh.submit("--command", "echo here")
        offer = next(offer for frame in call for offer in frame.run)
        frames.put(pb.WorkerFrame(accepts=[pb.Accept(lease=offer.lease)]))
        fresh.until(job_id, "RUNNING")
        fresh.stack.worker("worker", fresh.addresses[1], fresh.folder / "w", fresh.token())
        fresh.sql("UPDATE leases SET accepted_at = accepted_at - interval '15 seconds'")
        for _ in range(3):
            frames.put(pb.WorkerFrame(heartbeat=pb.Heartbeat(draining=True)))
            time.sleep(1.2)
        job = fresh.finish(job_id)
        call.cancel()
    assert (job["state"], job["attempts"]) == ("SUCCEEDED", 2)
    lost = """
        SELECT payload->>'message'
        FROM domain_events
        WHERE aggregate_id = %s
          AND payload->>'reason' = 'WORKER_LOST'
        LIMIT 1
    """
    assert fresh.sql(lost, job_id) == [("the worker lives but does not know this job any more",)]
