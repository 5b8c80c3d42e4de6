"""A server that lies has a worker's jobs in its hands as any server has; but it ends no worker, and
what it sends out of bounds touches no job."""

import json
import re
import uuid

from hodei.local.stack import Stack
from hodei.protocol import hodei_pb2 as pb
from tests.eventually import eventually
from tests.hostile.lying_server import LyingServer, after_welcome, welcome
from tests.running import Hodei

NAN, HUGE = float("nan"), (1 << 64) - 1
ID = str(uuid.uuid4())


def offer(**other: object) -> list[bytes]:
    fields: dict[str, object] = {"lease": 1 << 50, "attempt": 1, "job_id": ID, "spec": "{}"}
    return after_welcome(run=[pb.RunJob(**fields | other)])  # type: ignore[arg-type]


WELCOMES = [
    [b"\xff\xff\xff"],
    [pb.ServerFrame(drain=True).SerializeToString()],  # no welcome
    [welcome(heartbeat_s=NAN)],
    [welcome(lost_after_s=-5.0)],
    [welcome(cluster_id="no uuid\x1b[31m")],
    [welcome(resume=[pb.Resume(lease=HUGE)])],
    [welcome(renew_credential_in_s=NAN)],
    [welcome(capabilities=["\x1b[31m"] * 1000)],
    [welcome(server_id="\x1b[31m" * 100)],
]
FRAMES = [
    offer(lease=0),
    offer(lease=HUGE),
    offer(attempt=0),
    offer(job_id="\x1b[31m"),
    offer(spec="x" * 2_000_000),
    offer(correlation_id="\x1b[31m" * 180_000),
    offer(actor="\x1b[31m" * 180_000),
    after_welcome(run=[pb.RunJob(lease=n, attempt=1, job_id=ID) for n in range(1, 3_000)]),
    after_welcome(cancel=[pb.CancelJob(lease=1 << 50, reason="\x1b[31m", message="x")]),
    after_welcome(cancel=[pb.CancelJob(lease=1 << 50, reason="QUARANTINED", message="x")]),
    after_welcome(cancel=[pb.CancelJob(lease=1, reason="CANCELLED", message="x" * 900_000)]),
    after_welcome(refused=[pb.Refusal(lease=1, why="\x1b[31m" * 180_000)]),
    after_welcome(result_acks=[1 << 50, 0, HUGE]),
    after_welcome(next_credential_stored=b"x" * 500_000),
    after_welcome(go_away=pb.GoAway(reconnect_after_s=NAN, why="x")),
    [welcome(), b"\xff\xff\xff"],
    [welcome(), b"\x0a" + b"\xff" * 100],
]
OF_UNKNOWN_LEASES = [
    after_welcome(
        cancel=[pb.CancelJob(lease=1 << 50, reason="CANCELLED", message="\x1b[31mred")],
        log_acks=[pb.LogAck(lease=1 << 50, next_seq=1 << 50)],
        result_acks=[1 << 50],
        refused=[pb.Refusal(lease=1 << 50, why="\x1b[31mred")],
        recall=[1 << 50],
        next_credential_stored=b"x" * 32,
        drain=True,
        undrain=True,
    ),
]
RENEWS = [[welcome(renew_credential_in_s=0.0)]] * 2
"""It has the worker renew its credential, and takes the new one: no real server knows that."""


def test_a_server_that_lies_ends_no_worker_and_no_job(one: Hodei) -> None:
    keep = ("--drain-timeout", "0.1", "--on-worker-exit", "keep")
    lies = [*WELCOMES, *FRAMES, *OF_UNKNOWN_LEASES, *RENEWS]
    go, state, port = one.folder / "go", one.folder / "w", int(one.addresses[0].split(":")[1])
    with LyingServer(lies) as liar:
        addresses = f"{one.addresses[0]},{liar.address}"
        part = one.stack.worker("worker", one.addresses[0], state, one.token(), *keep)
        job_id = one.submit("--command", f"sh -c 'until [ -e {go} ]; do sleep 0.1; done; echo end'")
        one.until(job_id, "RUNNING")
        (server,) = (part for part in one.stack.parts if part.name == "server-0")
        Stack.stop_part(part)  # the job goes on under its supervisor
        Stack.stop_part(server)
        one.stack.start("again", ["hodei_worker", "--server", addresses, "--state-dir", str(state)])
        eventually(lambda: liar.told == len(lies), 120)
        again = one.stack.parts[-1]
        eventually(lambda: len(liar.credentials) == 2, 20)
        assert not again.ended
        one.stack.server("server-1", one.url, port)
        go.touch()
        job = one.finish(job_id)
    assert (job["state"], job["attempts"]) == ("SUCCEEDED", 1)
    assert one.wrote(job_id) == "end\n"
    assert one.sql("SELECT count(*) FROM jobs") == [(1,)]
    eventually(lambda: one.sql("SELECT connected FROM workers") == [(True,)])
    told = again.log.read_text()
    assert "\x1b" not in told
    assert "Traceback" not in told
    assert max(map(len, told.splitlines())) < 1000
    invalid = len(re.findall("is invalid: .*expected", told))
    assert invalid == len(WELCOMES) + len(FRAMES) - 3, "one line each, but for what is no frame"
    assert "the server sent bytes that are no frame" in told
    kept = json.loads((state / "identity.json").read_text())
    assert len(kept["secrets"]) == 2
    eventually(lambda: one.sql("SELECT previous_credential_sha256 IS NOT NULL FROM workers"))
