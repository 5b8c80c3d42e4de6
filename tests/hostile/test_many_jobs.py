"""A hundred thousand jobs are searched, cancelled and run again in bounded steps, while others go
on; large specs cost time, and neither memory nor the answer."""

import signal
import subprocess
import sys
import time

import grpc
import pytest

from hodei.domain.ids import uuid7
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.eventually import eventually
from tests.hostile.conftest import watched
from tests.running import Hodei

FILL = """
WITH j AS (
    INSERT INTO jobs (id, name, spec, correlation_id, actor, created_at, updated_at)
    SELECT hodei_uuid7(), 'many', '{"command": "true"}', 'many', 'sql:test',
           now() - n * interval '1 ms', now()
    FROM generate_series(1, %s) n
    RETURNING id
)
INSERT INTO job_queue (job_id, waiting, ready_at)
SELECT j.id, 'RUN_AT', timestamptz '2900-01-01' FROM j
"""


def test_a_hundred_thousand_jobs_are_cancelled_while_others_create_theirs(one: Hodei) -> None:
    one.sql(FILL, 100_500)
    with grpc.insecure_channel(one.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        answer = jobs.ListJobs(pb.ListJobsRequest(filter=pb.JobFilter(name="no*thing")))
        assert (len(answer.jobs), answer.searched) == (0, 100_000)
        request = pb.ListJobsRequest(
            filter=pb.JobFilter(name="no*thing"), before_job_id=answer.next_before_job_id
        )
        assert not jobs.ListJobs(request).next_before_job_id
    assert one.ok("job", "list", "--name", "no*thing").err == "no jobs\n"
    with watched(one) as seen:
        ran = one.ok("job", "cancel", "--name", "many", "--yes")
    seen.check()
    assert ran.text == "100,000 cancelled\n"
    lines = ran.err.splitlines()
    assert lines[0] == (
        "hodei: there may be more than these 100,000 jobs: repeat the command for them"
    )
    assert lines[1:] == [f"hodei: {n}0,000 of 100,000 jobs" for n in range(1, 11)]
    counted = "SELECT state, count(*) FROM jobs WHERE name = 'many' GROUP BY state ORDER BY state"
    assert one.sql(counted) == [("CANCELLED", 100_000), ("PENDING", 500)]
    with watched(one) as seen:
        ran = one.ok("job", "cancel", "--name", "many", "--state", "PENDING", "-y")
    seen.check()
    assert ran.text == "500 cancelled\n"


def test_ctrl_c_in_the_middle_of_a_cancel_prints_what_was_done(one: Hodei) -> None:
    one.sql(FILL.replace("'many'", "'stopped'"), 30_000)
    words = ["--server", one.addresses[0], "job", "cancel", "--name", "stopped", "--yes", "-q"]
    with subprocess.Popen(
        [sys.executable, "-m", "hodei.cli.main", *words], stdout=-1, stderr=-1, text=True
    ) as calling:
        assert calling.stderr is not None
        assert calling.stderr.readline() == "hodei: 10,000 of 30,000 jobs\n"
        calling.send_signal(signal.SIGINT)
        printed, _ = calling.communicate(timeout=60)
    assert calling.returncode == 130
    cancelled = {
        str(job_id)
        for (job_id,) in one.sql(
            "SELECT id FROM jobs WHERE name = 'stopped' AND state = 'CANCELLED'"
        )
    }
    assert len(printed.split()) in (10_000, 20_000), "what the calls before it have done"
    assert set(printed.split()) <= cancelled


def test_large_specs_are_searched_for_two_seconds_at_a_time(one: Hodei) -> None:
    """Their labels lie in a spec of a quarter of a megabyte, which is small when it is stored. A fast
    machine may search all of them in one call."""
    one.sql(FILL, 12_000)
    one.sql(
        """
        UPDATE jobs
        SET spec = jsonb_build_object('command', 'true', 'stdin', repeat('x', 240000)),
            state = 'FAILED', completed_at = now()
        """
    )
    with watched(one) as seen, grpc.insecure_channel(one.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        request = pb.FindJobsRequest(filter=pb.JobFilter(labels={"gpu": "x"}))
        while True:
            begun = time.monotonic()
            answer = jobs.FindJobs(request, timeout=30)
            assert time.monotonic() - begun < 5
            if not answer.next_before_job_id:
                break
            request.before_job_id = answer.next_before_job_id
        ids = [
            row[0] for row in one.sql("SELECT id::text FROM jobs WHERE name = 'many' LIMIT 1000")
        ]
        retries = [pb.RetryJobRequest(job_id=job, new_job_id=str(uuid7())) for job in ids]
        entries = jobs.RetryJobs(pb.RetryJobsRequest(retries=retries), timeout=60).entries
    seen.check()
    assert [entry for entry in entries if entry.change != "RETRIED"] == []


def slow_down(hodei: Hodei, what: str, each_s: float) -> None:
    """Somebody's trigger takes as long for each row of `jobs`."""
    hodei.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM pg_sleep({each_s}); RETURN NEW; END $$"
    )
    hodei.sql(f"CREATE TRIGGER slow BEFORE {what} ON jobs FOR EACH ROW EXECUTE FUNCTION slow()")


def test_jobs_are_created_though_each_takes_long_to_store(one: Hodei) -> None:
    """Five hundred in one transaction would take 5 s."""
    slow_down(one, "INSERT", 0.01)
    with grpc.insecure_channel(one.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        request = pb.CreateJobsRequest(specs=['{"command": "true"}'] * 500)
        entries = jobs.CreateJobs(request, timeout=60).entries
        assert [entry for entry in entries if entry.error_code] == []
        assert one.sql("SELECT count(*) FROM jobs") == [(500,)]
        request.all_or_nothing = True
        with pytest.raises(grpc.RpcError, match="500 jobs in one transaction take longer than"):
            jobs.CreateJobs(request, timeout=60)
    assert one.sql("SELECT count(*) FROM jobs") == [(500,)]


def test_jobs_are_repeated_though_each_takes_long_to_store(one: Hodei) -> None:
    """Two hundred in one transaction would take 6 s, and a statement may take 4."""
    one.sql(FILL, 250)
    one.sql("UPDATE jobs SET state = 'FAILED', completed_at = now()")
    ids = [row[0] for row in one.sql("SELECT id::text FROM jobs WHERE name = 'many'")]
    slow_down(one, "INSERT", 0.03)
    with grpc.insecure_channel(one.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        retries = [pb.RetryJobRequest(job_id=job, new_job_id=str(uuid7())) for job in ids]
        entries = jobs.RetryJobs(pb.RetryJobsRequest(retries=retries), timeout=60).entries
    assert [entry for entry in entries if entry.change != "RETRIED"] == []
    assert [entry.job_id for entry in entries] == ids


def test_jobs_are_cancelled_though_each_takes_long_to_store(one: Hodei) -> None:
    """A thousand in one transaction would take 20 s."""
    one.sql(FILL, 1000)
    ids = [row[0] for row in one.sql("SELECT id::text FROM jobs WHERE name = 'many'")]
    slow_down(one, "UPDATE", 0.02)
    with grpc.insecure_channel(one.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        entries = jobs.CancelJobs(pb.CancelJobsRequest(job_ids=ids), timeout=60).entries
    assert [entry for entry in entries if entry.change != "CANCELLED"] == []
    assert [entry.job_id for entry in entries] == ids


def test_a_caller_that_leaves_ends_its_cancel_between_two_transactions(one: Hodei) -> None:
    one.sql(FILL, 10_000)
    ids = [row[0] for row in one.sql("SELECT id::text FROM jobs ORDER BY id")]
    with grpc.insecure_channel(one.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        call = jobs.CancelJobs.future(pb.CancelJobsRequest(job_ids=ids))
        begun = "SELECT count(*) FROM jobs WHERE state = 'CANCELLED' HAVING count(*) > 0"
        eventually(lambda: one.sql(begun), 30)
        call.cancel()
        odd = """
            SELECT count(*)
            FROM jobs j
            LEFT JOIN job_queue q ON q.job_id = j.id
            LEFT JOIN domain_events e
                ON e.aggregate_id = j.id::text AND e.payload ->> 'new_state' = 'CANCELLED'
            WHERE (j.state = 'PENDING') <> (q.job_id IS NOT NULL)
               OR (j.state = 'PENDING') <> (e.id IS NULL)
            """
        assert one.sql(odd) == [(0,)]
        again = jobs.CancelJobs(pb.CancelJobsRequest(job_ids=ids), timeout=60).entries
    assert {entry.change or entry.refusal for entry in again} <= {"CANCELLED", "ENDED"}
    assert one.sql("SELECT state, count(*) FROM jobs GROUP BY state") == [("CANCELLED", 10_000)]
