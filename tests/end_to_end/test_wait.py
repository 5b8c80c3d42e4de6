"""`hodei job wait`: until jobs have ended, whatever happens to servers meanwhile."""

import json
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.end_to_end.test_following import following, next_line
from tests.running import Hodei


@contextmanager
def waiting(hodei: Hodei, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with following(hodei, "job", "wait", *arguments) as process:
        yield process


def gated(hodei: Hodei, end: str = "true") -> tuple[str, Path]:
    """A job that runs until its gate is opened."""
    gate = hodei.folder / f"gate-{uuid.uuid4().hex}"
    job_id = hodei.submit("--command", f"until [ -e {gate} ]; do sleep 0.1; done; {end}")
    return job_id, gate


def test_each_is_told_as_it_ends_and_the_code_is_that_of_the_first_in_order(
    hodei: Hodei,
) -> None:
    last, gate = gated(hodei, "exit 7")
    good = hodei.submit("--name", "good", "--command", "true")
    bad = hodei.submit("--name", "bad", "--command", "exit 3")
    for job_id in (good, bad):
        hodei.finish(job_id)
    with waiting(hodei, good, last, bad, good) as process:
        assert process.stdout
        first = {process.stdout.readline().decode() for _ in range(2)}
        assert first == {
            f"{good}  SUCCEEDED  good\n",
            f"{bad}  FAILED     bad  (EXIT_NONZERO: exit code 3)\n",
        }
        gate.touch()
        out, err = process.communicate(timeout=30)
    assert out.decode().startswith(f"{last}  FAILED")
    assert (process.returncode, err) == (7, b"")
    assert hodei.run("job", "wait", good, bad).code == 3
    assert hodei.ok("job", "wait", good).text.startswith(good)
    lines = hodei.run("job", "wait", bad, good, "--format", "json").text.splitlines()
    assert [(job["job_id"], job["spec"]) for job in map(json.loads, lines)] == [
        (bad, None),
        (good, None),
    ]


def test_any_and_the_timeout(hodei: Hodei) -> None:
    never, gate = gated(hodei)
    quick = hodei.submit("--command", "exit 4")
    ran = hodei.run("job", "wait", "--any", never, quick)
    assert (ran.code, ran.text.count("\n")) == (4, 1)
    ran = hodei.run("job", "wait", "--timeout", "0.5s", never)
    assert ran.code == 125
    assert ran.err == f"hodei: job {never} has not ended within 500 ms\n"
    with waiting(hodei, never, quick) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err.decode()) == (
        130,
        f"\nhodei: job {never} has not ended; nothing is cancelled\n",
    )
    gate.touch()


def test_wrong_jobs_are_named(hodei: Hodei) -> None:
    unknown = [str(uuid.uuid4()) for _ in range(12)]
    ran = hodei.run("job", "wait", hodei.submit("--command", "true"), *unknown)
    assert ran.code not in (0, 2)
    assert ran.err == f"Error: no job {', '.join(unknown[:10])} and 2 more\n"
    ran = hodei.run("job", "wait")
    assert (ran.code, "expected 1 to 1000 jobs, or --last; got 0" in ran.err) == (2, True)
    ran = hodei.run("job", "wait", *(str(uuid.uuid4()) for _ in range(1001)))
    assert (ran.code, "got 1001" in ran.err) == (2, True)
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        for ids, words in (
            ([], "job_ids: expected 1 to 1000 jobs, got 0"),
            (["x"], "job_ids: expected a UUID, got 'x'"),
            ([str(uuid.uuid4()) for _ in range(1001)], "expected 1 to 1000 jobs, got 1001"),
        ):
            with pytest.raises(grpc.RpcError, match=words):
                list(stub.WaitJobs(pb.WaitJobsRequest(job_ids=ids)))


def test_a_thousand_jobs(hodei: Hodei) -> None:
    specs = json.dumps([{"command": ["true"]}] * 1000).encode()
    ids = hodei.ok("job", "submit", "--file", "-", stdin=specs).text.split()
    ran = hodei.run("job", "wait", *ids)
    assert ran.code == 0
    assert sorted(line.split()[0] for line in ran.text.splitlines()) == sorted(ids)


def test_it_outlives_servers_and_sees_what_ended_meanwhile(fresh: Hodei) -> None:
    fresh.stack.worker(
        "worker", ",".join(fresh.addresses), fresh.folder / "w", fresh.token(), "--slots", "4"
    )
    first, first_gate = gated(fresh)
    second, second_gate = gated(fresh, "exit 5")
    waits = fresh.submit("--label", "gpu=a100", "--command", "true")
    with waiting(fresh, waits, first, second) as process:
        said = f"hodei: job {waits} waits for a worker with gpu=a100: "
        assert next_line(process).startswith(said)
        fresh.stack.parts[0].process.kill()
        assert "the server went away; looking for one that answers" in next_line(process)
        first_gate.touch()
        assert process.stdout
        assert process.stdout.readline().decode().startswith(f"{first}  SUCCEEDED")
        fresh.ok("job", "cancel", waits, server=1)
        fresh.finish(waits, server=1)
        fresh.stack.parts[1].process.kill()
        assert "the server went away; looking for one that answers" in next_line(process)
        fresh.sql("DELETE FROM jobs WHERE id = %s", second)
        fresh.stack.server("server-2", fresh.url, int(fresh.addresses[1].rpartition(":")[2]))
        begun = time.monotonic()
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - begun < 15
    second_gate.touch()
    assert out.decode().startswith(f"{waits}  CANCELLED")
    assert f"hodei: job {second} has been deleted meanwhile: its end is not known" in err.decode()
    assert process.returncode == 125
