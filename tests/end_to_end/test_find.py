"""Jobs are found by what they have, newest first."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.end_to_end.in_process import here
from tests.running import Hodei

LATER = "2900-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def group() -> str:
    """A correlation id of this module's own: other tests' jobs are not found by it."""
    return f"find-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def made(shared: Hodei, group: str) -> Iterator[dict[str, str]]:
    """Jobs that wait, by name, in the order of their creation; and one that has failed."""
    specs: list[dict[str, Any]] = [
        {"name": "backup-a", "labels": {"nowhere": "1", "gpu": "a100"}},
        {"name": "backup-b", "labels": {"nowhere": "1", "gpu": "h100"}, "actor": "deploy"},
        {"name": "100%_sure\\[x]", "labels": {"nowhere": "1"}},
        {"name": "report", "run_at": LATER},
    ]
    every = [{"command": "true", "correlation_id": group, **spec} for spec in specs]
    ids = shared.submit("--file", "-", stdin=json.dumps(every).encode()).split()
    failed = shared.submit("--name", "broken", "--correlation-id", group, "--command", "exit 3")
    shared.finish(failed)
    yield {spec["name"]: job for spec, job in zip(specs, ids, strict=True)} | {"broken": failed}
    shared.ok("job", "cancel", *ids)


def names(hodei: Hodei, *flags: str) -> list[str]:
    """Names of the jobs that a list has."""
    ran = here(hodei, "job", "list", "--format", "json", *flags)
    assert ran.exit_code == 0, ran.output
    return [job["name"] for job in json.loads(ran.stdout)]


def test_each_flag_finds_the_jobs_that_have_it(
    hodei: Hodei, group: str, made: dict[str, str]
) -> None:
    def found(*flags: str) -> list[str]:
        return names(hodei, "--correlation-id", group, *flags)

    odd = "100%_sure\\[x]"
    job = hodei.job(made["broken"])
    worker = job["worker_id"]
    newest_first = ["broken", "report", odd, "backup-b", "backup-a"]
    assert found() == newest_first == list(made)[::-1]
    assert found("--state", "pending,FAILED") == newest_first
    assert found("--state", "FAILED", "--state", "RUNNING") == ["broken"]
    assert found("--reason", "exit_nonzero,TIMEOUT") == ["broken"]
    for name in (worker, worker[-8:].upper(), worker[:8], job["worker_name"]):
        assert found("--worker", name) == ["broken"]
    assert found("--worker", str(uuid.uuid4())) == []
    assert found("--name", "backup-*") == ["backup-b", "backup-a"]
    assert found("--name", "backup-?") == ["backup-b", "backup-a"]
    assert found("--name", "backup") == []
    assert found("--name", "*%_s*\\[x]") == [odd]
    assert found("--name", "_" * 6) == found("--name", "%") == found("--name", "[br]*") == []
    assert found("--name", "*" * 500 + "t") == ["report"]
    assert found("--label", "gpu") == ["backup-b", "backup-a"]
    assert found("-l", "gpu=a100", "-l", "nowhere=1") == ["backup-a"]
    assert found("--label", "gpu=") == found("--label", "gp\"u='x") == []
    assert found("--since", "1h") == found("--until", "2900-01-01") == newest_first
    assert found("--since", "2900-01-01T00:00:00Z") == found("--until", "2d") == []
    mine = job["actor"]
    assert found("--actor", mine) == newest_first
    assert found("--actor", f"{mine}:deploy") == ["backup-b"]
    assert found("--actor", mine[:-1]) == []
    assert found("--before", made["report"][-8:]) == newest_first[2:]
    assert found("--limit", "2") == newest_first[:2]
    quiet = hodei.ok("job", "list", "--correlation-id", group, "-q").text.split()
    assert quiet == [made[name] for name in newest_first]


def test_flags_come_from_the_environment(
    hodei: Hodei, group: str, made: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"CORRELATION_ID": group, "STATE": "FAILED,RUNNING", "QUIET": "1", "LIMIT": "7"}
    for flag, value in said.items():
        monkeypatch.setenv(f"HODEI_JOB_LIST_{flag}", value)
    assert hodei.ok("job", "list").text == f"{made['broken']}\n"


def test_the_table_has_the_worker_and_the_columns_asked_for(
    hodei: Hodei, group: str, made: dict[str, str]
) -> None:
    shown = hodei.ok("job", "list", "--correlation-id", group).text.splitlines()
    assert shown[0].split()[:5] == ["id", "name", "state", "reason", "created"]
    assert shown[1].split()[0] == made["broken"]
    assert hodei.job(made["broken"])["worker_name"] in shown[1].split()
    chosen = hodei.ok("job", "list", "--correlation-id", group, "--columns", "name,exit-code")
    assert chosen.text.splitlines()[1].split() == ["broken", "3"]


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (
            ["--state", "DONE"],
            2,
            "--state: expected one of PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED, got 'DONE'",
        ),
        (["--reason", "x\x1b"], 2, "--reason: expected one of EXIT_NONZERO"),
        (["--label", "=x"], 2, "--label: expected NAME or NAME=VALUE, got '=x'"),
        (["--since", "yesterday"], 2, "--since: expected a time as 2026-01-31T12:00:00Z or"),
        (["--until", "9999-12-31T23:59:59-12:00"], 2, "--until: expected a time"),
        (["--columns", "name,colour"], 2, "expected some of id, name, state"),
        (["--limit", "0"], 2, "0"),
        (["--worker", "nobody-here"], None, "worker: no worker has the name 'nobody-here'"),
        (["--name", "x" * 10_000], None, "name: expected at most 1000 characters, got 10000"),
        (
            ["--before", str(uuid.UUID(int=1))],
            None,
            "before: no job 00000000-0000-0000-0000-000000000001",
        ),
        (["--before", "zz"], 2, "ID: expected a UUID"),
    ],
)
def test_what_no_job_can_have(hodei: Hodei, flags: list[str], code: int | None, words: str) -> None:
    ran = here(hodei, "job", "list", *flags)
    assert words in ran.stderr, ran.output
    assert ran.exit_code == code or (code is None and ran.exit_code not in (0, 2))


def test_rows_set_by_hand_are_passed_over(hodei: Hodei, group: str) -> None:
    hand = f"{group}-hand"
    hodei.sql(
        """
        INSERT INTO jobs (id, name, spec, correlation_id, actor, state, completed_at, created_at)
        SELECT gen_random_uuid(), 'odd', spec::jsonb, %s, 'sql:x', 'FAILED', now(), at::timestamptz
        FROM (VALUES ('"text"', 'infinity'), ('[1]', '-infinity'), ('{"labels": "gpu"}', 'now'),
                     ('{"labels": {"gpu": 5}}', 'now'), ('{"labels": ["gpu"]}', 'now')) v (spec, at)
        """,
        hand,
    )
    assert len(names(hodei, "--correlation-id", hand)) == 5
    assert len(names(hodei, "--correlation-id", hand, "--until", "1h")) == 1
    assert names(hodei, "--correlation-id", hand, "--label", "gpu=5") == []
    assert len(names(hodei, "--correlation-id", hand, "--label", "gpu")) <= 3
    ran = hodei.run("job", "retry", "--correlation-id", hand, "--yes")
    assert ran.code not in (0, 2)
    assert "cannot be run again: its spec is no object" in ran.err
    odd = hodei.sql("SELECT id FROM jobs WHERE correlation_id = %s AND spec = '[1]'", hand)[0][0]
    with grpc.insecure_channel(hodei.addresses[0]) as channel, pytest.raises(grpc.RpcError) as no:
        hodei_pb2_grpc.JobServiceStub(channel).RetryJob(pb.RetryJobRequest(job_id=str(odd)))
    assert no.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    hodei.sql("DELETE FROM jobs WHERE correlation_id = %s", hand)


def test_a_server_checks_the_filter_itself(hodei: Hodei) -> None:
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        for said in (
            pb.JobFilter(states=["x"]),
            pb.JobFilter(name="a\x00b"),
            pb.JobFilter(labels={"a\x00": "b"}),
            pb.JobFilter(label_names=["x"] * 500),
            pb.JobFilter(since_unix_us=1 << 62),
            pb.JobFilter(until_unix_us=-1),
            pb.JobFilter(workers=["\x00"]),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                jobs.ListJobs(pb.ListJobsRequest(filter=said))
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, said
            with pytest.raises(grpc.RpcError) as refused:
                jobs.FindJobs(pb.FindJobsRequest(filter=said))
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, said
        with pytest.raises(grpc.RpcError) as refused:
            jobs.FindJobs(pb.FindJobsRequest(limit=10_001))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert jobs.ListJobs(pb.ListJobsRequest(limit=1)).filtered
