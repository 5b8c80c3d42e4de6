"""What only shows after a minute: a worker that is stopped, and workers that stay where they are."""

import contextlib
import os
import signal
import time
from pathlib import Path

import grpc
import psycopg

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.end_to_end.test_fleet import start_worker
from tests.eventually import eventually
from tests.running import Hodei


def test_a_blocked_worker_is_noticed_within_30_s_and_goes_on_when_it_can(fresh: Hodei) -> None:
    """Stopped for 32 s: its stream is closed, it counts as UNREACHABLE, its job is not given away,
    and it comes back by itself."""
    part = fresh.stack.worker(
        "worker",
        ",".join(fresh.addresses),
        fresh.folder / "w",
        fresh.token(),
        "--on-worker-exit",
        "keep",
    )
    job_id = fresh.submit(
        "--command", "n=0; while [ $n -lt 40 ]; do n=$((n + 1)); echo $n; sleep 1; done"
    )
    fresh.wrote(job_id)
    begun = time.monotonic()
    os.kill(part.process.pid, signal.SIGSTOP)
    eventually(lambda: "worker's stream" in fresh.log("server-0") + fresh.log("server-1"), 35)
    assert time.monotonic() - begun < 30
    eventually(lambda: fresh.sql("SELECT state FROM workers") == [("UNREACHABLE",)], 45)
    os.kill(part.process.pid, signal.SIGCONT)
    eventually(lambda: fresh.sql("SELECT state FROM workers") == [("READY",)], 30)
    job = fresh.finish(job_id)
    assert (job["state"], job["attempts"], job["logs_complete"]) == ("SUCCEEDED", 1, True)


def test_a_server_that_no_worker_lists_moves_nobody_and_one_that_they_list_gets_its_share(
    fresh: Hodei, tmp_path: Path
) -> None:
    fresh.stack.server("elsewhere", fresh.url)
    first, second = fresh.addresses
    for number in range(3):
        start_worker(
            fresh, f"only-{number}", tmp_path / f"only-{number}", fresh.token(), servers=first
        )
    for number in range(3):
        start_worker(
            fresh,
            f"both-{number}",
            tmp_path / f"both-{number}",
            fresh.token(),
            servers=f"{first},{second}",
        )

    def held() -> list[int]:
        found = fresh.sql(
            "SELECT count(*) FROM workers WHERE connected GROUP BY server_id ORDER BY 1"
        )
        return [row[0] for row in found]

    def sessions() -> list[tuple[object, ...]]:
        return fresh.sql("SELECT id, session FROM workers ORDER BY id")

    rest_since, before = time.monotonic(), sessions()
    deadline = rest_since + 200
    while time.monotonic() - rest_since < 33:  # more than two looks of each server
        assert time.monotonic() < deadline, "they wander for ever"
        if (now := sessions()) != before:
            rest_since, before = time.monotonic(), now
        time.sleep(0.5)
    assert held() == [3, 3], "all of them, at either of the two"
    for number in range(3):
        assert "spread over" not in fresh.log(f"only-{number}"), (
            "who has one address is never sent away"
        )
    assert fresh.ok("status", "--format", "json").json["servers"] == 3


def test_followers_hear_of_an_end_soon_after_a_lock_that_held_up_their_look(fresh: Hodei) -> None:
    """One follower at each server: the job's end comes through one of them only."""
    start_worker(fresh, "w", fresh.folder / "w", fresh.token(), servers=",".join(fresh.addresses))
    job_id = fresh.submit("--command", "sleep 8")
    fresh.until(job_id, "RUNNING")
    with contextlib.ExitStack() as open_calls, psycopg.connect(fresh.url) as conn:
        followers = []
        for address in fresh.addresses:
            channel = open_calls.enter_context(grpc.insecure_channel(address))
            request = pb.ReadLogsRequest(job_id=job_id, follow=True)
            followers.append(hodei_pb2_grpc.JobServiceStub(channel).ReadLogs(request, timeout=60))
        time.sleep(0.5)
        conn.execute("LOCK TABLE leases IN ACCESS EXCLUSIVE MODE")
        time.sleep(6)
        conn.rollback()
        fresh.finish(job_id)
        ended = time.monotonic()
        for follower in followers:
            assert list(follower)[-1].HasField("job")
        assert time.monotonic() - ended < 8
