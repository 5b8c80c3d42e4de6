"""A job is named by a part of its id, as a table shows it."""

import getpass
import json
import uuid

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.end_to_end.in_process import here
from tests.running import Hodei

LATER = "2900-01-01T00:00:00Z"


def test_a_job_is_named_by_its_beginning_or_its_end(hodei: Hodei) -> None:
    job_id = hodei.submit("--run-at", LATER, "--command", "true")
    for part in (job_id, job_id.upper(), job_id[-8:], job_id[-8:].upper(), job_id[:-1], job_id[9:]):
        shown = here(hodei, "job", "get", part, "--format", "json")
        assert json.loads(shown.stdout)["job_id"] == job_id
    for command in ("timeline", "attempts", "logs", "cancel"):
        hodei.ok("job", command, job_id[-12:])
    assert hodei.job(job_id)["state"] == "CANCELLED"


def test_a_part_of_several_ids_lists_them(hodei: Hodei) -> None:
    first = f"{uuid.uuid4().hex[:8]}-0000-4000-8000-0000"
    ids = [f"{first}{n:08x}" for n in range(12)]
    specs = [
        {"id": one, "name": f"j{n}", "run_at": LATER, "command": "true"}
        for n, one in enumerate(ids)
    ]
    hodei.submit("--file", "-", stdin=json.dumps(specs).encode())
    hodei.sql("UPDATE jobs SET name = E'\\x1b[31mred' WHERE id = %s", ids[-1])
    ran = hodei.run("job", "get", first[:9])
    assert ran.code != 0
    lines = ran.err.splitlines()
    assert lines[0].endswith(
        f"'{first[:9]}' is a part of the ids of several jobs; give more of it:"
    )
    assert [line.split()[0] for line in lines[1:11]] == ids[:1:-1]
    assert all("PENDING" in line for line in lines[1:11])
    assert lines[1].endswith(r"\x1b[31mred")
    assert lines[11:] == ["  … and more"]
    assert hodei.ok("job", "get", ids[3][:-1] + "3", "--format", "json").json["name"] == "j3"
    hodei.ok("job", "cancel", *ids)


@pytest.mark.parametrize(
    ("part", "code", "words"),
    [
        (
            "abc",
            2,
            "ID: expected a UUID, its first 6 or more characters, or its last 8 or more, got 'abc'",
        ),
        ("nothex00", 2, "got 'nothex00'"),
        ("%_%_%_%_", 2, "got '%_%_%_%_'"),
        ("a" * 10_000, 2, "got 'aaaa"),
        ("٣" * 8, 2, "expected a UUID"),
        ("a\x1b[31mbcdef", 2, r"got 'a\x1b[31mbcdef'"),
        (
            "fffffffffe",
            None,
            "no job has an id that begins with 'fffffffffe', and none of the newest 100,000 one that ends with it",
        ),
    ],
)
def test_what_is_no_part_of_an_id(hodei: Hodei, part: str, code: int | None, words: str) -> None:
    ran = here(hodei, "job", "get", part)
    assert ran.exit_code == code or (code is None and ran.exit_code not in (0, 2))
    assert words in ran.stderr
    assert "\x1b" not in ran.stderr
    assert len(ran.stderr) < 1000


def test_the_last_job_is_mine(hodei: Hodei) -> None:
    mine = hodei.submit("--run-at", LATER, "--actor", "deploy", "--command", "true")
    hodei.sql('SELECT hodei_enqueue(\'{"command": "true"}\')')
    hodei.sql(
        "INSERT INTO jobs (id, name, spec, correlation_id, actor, state, completed_at)"
        " VALUES (gen_random_uuid(), 'x', '{}', 'c', %s, 'CANCELLED', now())",
        f"cli:{getpass.getuser()}x",
    )
    assert hodei.ok("job", "get", "--last", "--format", "json").json["job_id"] == mine
    hodei.ok("job", "cancel", "--last")
    assert hodei.job(mine)["state"] == "CANCELLED"
    both = here(hodei, "job", "get", "--last", mine)
    assert (both.exit_code, "expected either --last or an ID, got both" in both.stderr) == (2, True)
    neither = here(hodei, "job", "get")
    assert (neither.exit_code, "or --last; got nothing" in neither.stderr) == (2, True)


def test_the_server_checks_parts_itself(hodei: Hodei) -> None:
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        for parts in ([], ["12345"], ["g" * 8], ["a" * 33], ["\x00" * 8], ["aaaaaaaa"] * 101):
            with pytest.raises(grpc.RpcError) as refused:
                jobs.ResolveJobs(pb.ResolveJobsRequest(parts=parts))
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        answer = jobs.ResolveJobs(pb.ResolveJobsRequest(parts=["fffffffffe", "eeeeeeee"]))
        assert [len(one.jobs) for one in answer.meant] == [0, 0]
