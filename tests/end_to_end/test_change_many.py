"""Many jobs are cancelled or run again by one command: each is answered, and none is done twice."""

import json
import os
import pty
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import psycopg
import pytest

from hodei.domain.ids import uuid7
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.end_to_end.in_process import here
from tests.eventually import eventually
from tests.running import Hodei

LATER = "2900-01-01T00:00:00Z"
MANY = 10_000


@pytest.fixture
def group() -> str:
    return f"many-{uuid.uuid4().hex[:8]}"


def waiting(hodei: Hodei, group: str, count: int) -> list[str]:
    """Creates jobs that wait for ever, in one transaction; returns their ids in order."""
    hodei.sql(
        """
        SELECT count(*)
        FROM hodei_create_jobs((
            SELECT jsonb_agg(jsonb_build_object(
                'id', hodei_uuid7(), 'actor', 'sql:test',
                'spec', jsonb_build_object(
                    'name', 'wait-' || n, 'command', 'true', 'run_at', %s::text,
                    'correlation_id', %s::text)))
            FROM generate_series(1, %s) n))
        """,
        LATER,
        group,
        count,
    )
    made = "SELECT id::text FROM jobs WHERE correlation_id = %s ORDER BY created_at"
    return [job for (job,) in hodei.sql(made, group)]


def states(hodei: Hodei, group: str) -> dict[str, int]:
    counted = "SELECT state, count(*) FROM jobs WHERE correlation_id = %s GROUP BY state"
    return dict(hodei.sql(counted, group))


def test_several_ids_are_cancelled_and_each_is_answered(hodei: Hodei, group: str) -> None:
    first, second, _ = waiting(hodei, group, 3)
    running = hodei.submit("--correlation-id", group, "--command", "sleep 300")
    ended = hodei.submit("--correlation-id", group, "--command", "true")
    hodei.finish(ended)
    hodei.until(running, "RUNNING")
    nobody = str(uuid7())
    ran = hodei.run("job", "cancel", first[-8:], running, ended, nobody, first)
    assert ran.text.splitlines() == [
        f"job {first} is CANCELLED",
        f"cancel of job {running} requested",
    ]
    assert f"job {ended} is already SUCCEEDED: a final state never changes" in ran.err
    assert f"no job {nobody}" in ran.err
    assert "2 of 4 jobs could not be cancelled" in ran.err
    assert ran.code not in (0, 2)
    told = hodei.run("job", "cancel", second, ended, "--format", "json")
    assert told.code == ran.code
    assert [(one["job_id"], one["change"], one["refusal"], one["state"]) for one in told.json] == [
        (second, "CANCELLED", None, "CANCELLED"),
        (ended, None, "ENDED", "SUCCEEDED"),
    ]
    assert hodei.finish(running)["state"] == "CANCELLED"
    hodei.ok("job", "cancel", "--correlation-id", group, "--yes")
    assert states(hodei, group) == {"CANCELLED": 4, "SUCCEEDED": 1}


def test_a_filter_says_what_it_would_do_and_asks(hodei: Hodei, group: str) -> None:
    ids = waiting(hodei, group, 5)
    hodei.ok("job", "cancel", *ids[:2])
    flags = ("--correlation-id", group)
    words = "5 match, 3 can be cancelled, 2 already ended"
    assert here(hodei, "job", "cancel", *flags, "--dry-run").stdout == f"{words}\n"
    shown = here(hodei, "job", "cancel", *flags, "--dry-run", "--format", "json")
    planned = json.loads(shown.stdout)
    assert [(one["change"], one["refusal"]) for one in planned] == [
        *[("CANCELLED", None)] * 3,
        *[(None, "ENDED")] * 2,
    ]
    quiet = here(hodei, "job", "cancel", *flags, "--dry-run", "-q")
    assert quiet.stdout.split() == ids[:1:-1]
    nobody = str(uuid7())
    of_ids = here(hodei, "job", "retry", ids[0], ids[4], nobody, "--dry-run").stdout
    assert of_ids == "2 match, 1 can be run again, 1 not ended, 1 does not exist\n"
    refused = hodei.run("job", "cancel", *flags)
    assert (refused.code, f"{words}: expected --yes" in refused.err) == (2, True)
    both = here(hodei, "job", "cancel", ids[0], *flags)
    assert (both.exit_code, "got both" in both.stderr) == (2, True)
    neither = here(hodei, "job", "cancel")
    assert (neither.exit_code, "got nothing" in neither.stderr) == (2, True)
    assert states(hodei, group) == {"PENDING": 3, "CANCELLED": 2}
    assert asked(hodei, "n\n", "cancel", *flags)[0] != 0
    assert states(hodei, group) == {"PENDING": 3, "CANCELLED": 2}
    code, out = asked(hodei, "y\n", "cancel", *flags)
    assert code == 0, out
    assert f"{words}. Go on? [y/N]" in out
    assert "3 cancelled" in out
    assert states(hodei, group) == {"CANCELLED": 5}
    assert hodei.ok("job", "cancel", *flags, "--yes").text == "no job to cancel\n"


def asked(hodei: Hodei, answer: str, *words: str) -> tuple[int, str]:
    """Runs `hodei job …` in a terminal in which somebody answers."""
    ours, theirs = pty.openpty()
    server = ",".join(hodei.addresses)
    command = [sys.executable, "-m", "hodei.cli.main", "--server", server, "job", *words]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    os.write(ours, answer.encode())
    out = b""
    try:
        while data := os.read(ours, 1000):
            out += data
    except OSError:  # the terminal has nobody any more
        pass
    os.close(ours)
    return process.wait(30), out.decode().replace("\r\n", "\n")


def test_jobs_are_run_again_in_their_order_and_once(hodei: Hodei, group: str) -> None:
    ids = waiting(hodei, group, 300)
    hodei.ok("job", "cancel", "--correlation-id", group, "--state", "PENDING", "--yes")
    hodei.sql(
        'UPDATE jobs SET spec = spec || \'{"labels": {"nowhere": "1"}}\' WHERE correlation_id = %s',
        group,
    )
    new = hodei.ok("job", "retry", "--correlation-id", group, "--yes", "-q").text.split()
    made = hodei.sql(
        "SELECT id::text, retry_of::text, name, state FROM jobs WHERE id = ANY (%s::uuid[]) ORDER BY created_at",
        new,
    )
    assert made == [(new[n], ids[n], f"wait-{n + 1}", "PENDING") for n in range(300)]
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        again = [
            pb.RetryJobRequest(job_id=ids[0], new_job_id=new[0]),
            pb.RetryJobRequest(job_id=ids[1], new_job_id=new[2]),
            pb.RetryJobRequest(job_id=new[1], new_job_id=str(uuid7())),
            pb.RetryJobRequest(job_id=str(uuid7())),
        ]
        answers = jobs.RetryJobs(pb.RetryJobsRequest(retries=again)).entries
        assert [(one.change, one.refusal) for one in answers] == [
            ("RETRIED", ""),
            ("", "DUPLICATE"),
            ("", "NOT_ENDED"),
            ("", "NOT_FOUND"),
        ]
    named = "SELECT retry_of::text FROM jobs WHERE id = ANY (%s::uuid[]) ORDER BY created_at"
    assert hodei.sql(named, [new[0], new[2]]) == [(ids[0],), (ids[2],)]
    assert states(hodei, group) == {"CANCELLED": 300, "PENDING": 300}
    hodei.ok("job", "cancel", "--correlation-id", group, "--state", "PENDING", "--yes")


def test_two_callers_cancel_ten_thousand_of_which_some_are_locked(hodei: Hodei, group: str) -> None:
    ids = waiting(hodei, group, MANY)
    held = [ids[3], ids[MANY // 2], ids[-1]]
    request = pb.CancelJobsRequest(job_ids=ids)
    with (
        psycopg.connect(hodei.url) as other,
        grpc.insecure_channel(hodei.addresses[0]) as here,
        grpc.insecure_channel(hodei.addresses[1]) as there,
        ThreadPoolExecutor(2) as pool,
    ):
        other.execute("SELECT FROM jobs WHERE id = ANY (%s::uuid[]) FOR UPDATE", [held[:2]])
        other.execute("SELECT FROM job_queue WHERE job_id = %s FOR UPDATE", [held[2]])
        calls = [
            pool.submit(hodei_pb2_grpc.JobServiceStub(channel).CancelJobs, request, timeout=60)
            for channel in (here, there)
        ]
        answers = [call.result().entries for call in calls]
        for entries in answers:
            assert [one.job_id for one in entries] == ids
            assert [one.job_id for one in entries if one.refusal == "LOCKED"] == held
        kinds = [
            {one.change or one.refusal for one in of_job} for of_job in zip(*answers, strict=True)
        ]
        free = [kind for kind in kinds if kind != {"LOCKED"}]
        assert all(kind == {"CANCELLED", "ENDED"} for kind in free), "each by one caller alone"
    assert states(hodei, group) == {"CANCELLED": MANY - 3, "PENDING": 3}
    hodei.ok("job", "cancel", "--correlation-id", group, "--yes")
    events = hodei.sql(
        """
        SELECT count(*), count(DISTINCT e.aggregate_id)
        FROM domain_events e
        WHERE e.correlation_id = %s AND e.payload ->> 'new_state' = 'CANCELLED'
        """,
        group,
    )
    assert events == [(MANY, MANY)]
    left = "SELECT FROM job_queue q JOIN jobs j ON j.id = q.job_id WHERE j.correlation_id = %s"
    assert hodei.sql(left, group) == []
    late = "SELECT count(*) FROM jobs WHERE correlation_id = %s AND updated_at <> completed_at"
    assert hodei.sql(late, group) == [(0,)]


def test_a_row_that_postgresql_refuses_costs_that_job_alone(hodei: Hodei, group: str) -> None:
    ids = waiting(hodei, group, 20)
    hodei.sql("UPDATE jobs SET updated_at = 'infinity' WHERE id = %s", ids[7])
    hodei.sql(
        f"""
        CREATE FUNCTION refuse_{group[5:]}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'no end for this one';
        END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON jobs FOR EACH ROW
            WHEN (OLD.id = '{ids[11]}' AND NEW.state = 'CANCELLED')
            EXECUTE FUNCTION refuse_{group[5:]}()
        """
    )
    try:
        ran = hodei.run("job", "cancel", *ids, "--format", "json")
    finally:
        hodei.sql(f"DROP FUNCTION refuse_{group[5:]} CASCADE")
    refused = {one["job_id"]: one["message"] for one in ran.json if one["refusal"]}
    assert set(refused) == {ids[11]}
    assert "no end for this one" in refused[ids[11]]
    assert states(hodei, group) == {"CANCELLED": 19, "FAILED": 1}
    hodei.sql("DELETE FROM jobs WHERE id = %s", ids[7])


def test_running_jobs_of_a_filter_are_told_to_stop(hodei: Hodei, group: str) -> None:
    for _ in range(3):
        hodei.submit("--correlation-id", group, "--name", "sleeper", "--command", "sleep 300")
    eventually(lambda: states(hodei, group) == {"RUNNING": 3}, 60)
    ran = hodei.ok("job", "cancel", "--correlation-id", group, "--state", "RUNNING", "-y")
    assert ran.text == "3 asked to stop\n"
    eventually(lambda: states(hodei, group) == {"CANCELLED": 3}, 60)


def test_a_server_checks_what_is_to_be_changed(hodei: Hodei, group: str) -> None:
    (job,) = waiting(hodei, group, 1)
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        for call, request in (
            (jobs.CancelJobs, pb.CancelJobsRequest(job_ids=["x"])),
            (jobs.CancelJobs, pb.CancelJobsRequest(job_ids=[job] * 10_001)),
            (jobs.CancelJobs, pb.CancelJobsRequest(job_ids=[job], states=["DONE"])),
            (jobs.RetryJobs, pb.RetryJobsRequest(retries=[pb.RetryJobRequest(job_id="x")])),
            (
                jobs.RetryJobs,
                pb.RetryJobsRequest(retries=[pb.RetryJobRequest(job_id=job, new_job_id=job)] * 2),
            ),
            (jobs.FindJobs, pb.FindJobsRequest(job_ids=["x"])),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                call(request)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, request
        guarded = jobs.CancelJobs(pb.CancelJobsRequest(job_ids=[job], states=["RUNNING"])).entries
        assert [one.refusal for one in guarded] == ["OTHER_STATE"]
        assert jobs.CancelJobs(pb.CancelJobsRequest()).entries == []
        twice = jobs.CancelJobs(pb.CancelJobsRequest(job_ids=[job, job])).entries
        assert [one.change for one in twice] == ["CANCELLED", "CANCELLED"]
