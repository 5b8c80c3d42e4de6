"""Workers that are revoked and drained by operators who do as the help says."""

import json
import uuid
from pathlib import Path

import grpc

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.eventually import eventually
from tests.running import Hodei

NIL = "00000000-0000-0000-0000-000000000000"


def identity(folder: Path) -> dict[str, str]:
    kept: dict[str, str] = json.loads((folder / "identity.json").read_text())
    return kept


def start_worker(
    hodei: Hodei, name: str, folder: Path, token: str | None, *flags: str, servers: str = ""
) -> None:
    """As an operator starts it: its jobs outlive it."""
    argv = [
        "hodei_worker",
        "--server",
        servers or ",".join(hodei.addresses),
        "--state-dir",
        str(folder),
        *flags,
    ]
    part = hodei.stack.start(name, argv, {"HODEI_OTP_TOKEN": token} if token else None)
    hodei.stack.await_words(part, "connected to")


def test_a_revoked_worker_comes_back_with_a_new_token_as_another_worker(
    fresh: Hodei, tmp_path: Path
) -> None:
    folder = tmp_path / "worker"
    start_worker(fresh, "worker-1", folder, fresh.token())
    before = identity(folder)
    job_id = fresh.submit("--on-lost", "fail", "--command", "sleep 600")
    fresh.until(job_id, "RUNNING")
    fresh.ok("worker", "revoke", before["worker_id"])
    part = fresh.stack.parts[-1]
    assert part.process.wait(30) == 1
    assert "create a new one with `hodei token create`" in fresh.log("worker-1")
    assert fresh.finish(job_id)["state"] == "FAILED"

    token = fresh.ok("token", "create").text.strip()
    start_worker(fresh, "worker-2", folder, token)
    after = identity(folder)
    assert after["worker_id"] != before["worker_id"]
    assert after["secret"] != before["secret"]
    said = fresh.log("worker-2")
    assert (
        f"worker {before['worker_id']} was revoked: this host is now worker {after['worker_id']}"
        in said
    )
    assert fresh.finish(fresh.submit("--command", "true"))["state"] == "SUCCEEDED"
    listed = {
        one["worker_id"]: one
        for one in fresh.ok("worker", "list", "--all", "--format", "json").json
    }
    assert listed[before["worker_id"]]["revoked"]
    assert not listed[after["worker_id"]]["revoked"]
    eventually(
        lambda: (
            fresh.sql("SELECT busy_slots FROM workers WHERE id = %s", after["worker_id"]) == [(0,)]
        ),
        most_s=20,
    )

    fresh.stack.stop_part(fresh.stack.parts[-1])
    start_worker(fresh, "worker-3", folder, None)
    assert identity(folder) == after, "and stays that one"


def test_a_token_that_is_refused_changes_nobody(fresh: Hodei, tmp_path: Path) -> None:
    folder = tmp_path / "worker"
    start_worker(fresh, "worker-1", folder, fresh.token())
    before = identity(folder)
    fresh.ok("worker", "revoke", before["worker_id"])
    fresh.stack.parts[-1].process.wait(30)
    argv = ["hodei_worker", "--server", fresh.addresses[0], "--state-dir", str(folder)]
    part = fresh.stack.start("worker-2", argv, {"HODEI_OTP_TOKEN": str(uuid.uuid4())})
    assert part.process.wait(30) == 1
    assert "Token not found, expired, or already consumed" in part.tail()
    assert identity(folder) == before


def test_whoever_has_only_a_token_takes_no_id_over(fresh: Hodei, tmp_path: Path) -> None:
    """Neither one that lives nor one that was revoked: the secret is needed, and for the revoked a
    token that is bound to it."""
    start_worker(fresh, "worker", tmp_path / "worker", fresh.token())
    live = identity(tmp_path / "worker")
    with grpc.insecure_channel(fresh.addresses[0]) as channel:
        stub = hodei_pb2_grpc.WorkerServiceStub(channel)

        def register(worker_id: str, secret_sha256: bytes) -> grpc.StatusCode | None:
            request = pb.RegisterRequest(
                token=fresh.token(), worker_id=worker_id, secret_sha256=secret_sha256
            )
            try:
                stub.Register(request, timeout=10)
            except grpc.RpcError as error:
                code: grpc.StatusCode = error.code()
                return code
            return None

        assert register(live["worker_id"], b"x" * 32) == grpc.StatusCode.UNAUTHENTICATED
        fresh.ok("worker", "revoke", live["worker_id"])
        assert register(live["worker_id"], b"x" * 32) == grpc.StatusCode.UNAUTHENTICATED
        assert register(NIL, b"x" * 32) == grpc.StatusCode.INVALID_ARGUMENT


def test_a_drain_of_a_worker_that_is_gone_is_refused_in_words(fresh: Hodei, tmp_path: Path) -> None:
    start_worker(fresh, "worker", tmp_path / "worker", fresh.token())
    me = identity(tmp_path / "worker")["worker_id"]
    fresh.ok("worker", "drain", me)
    assert "gets new jobs again" in fresh.ok("worker", "drain", "--undo", me).text
    fresh.stack.stop_part(fresh.stack.parts[-1])
    eventually(
        lambda: fresh.sql("SELECT state FROM workers WHERE id = %s", me) == [("TERMINATED",)],
        most_s=20,
    )
    for state in ("TERMINATED", "UNREACHABLE"):
        fresh.sql("UPDATE workers SET state = %s WHERE id = %s", state, me)
        undone = fresh.run("worker", "drain", "--undo", me)
        assert undone.code == 125
        assert f"worker {me} is {state}: it gets no work before it is back" in undone.err
    fresh.sql("UPDATE workers SET state = 'READY' WHERE id = %s", me)
    undone = fresh.run("worker", "drain", "--undo", me)
    assert undone.code == 125
    assert f"worker {me} is connected to no server: it gets no work before" in undone.err
    fresh.sql("UPDATE workers SET state = 'TERMINATED' WHERE id = %s", me)
    drained = fresh.run("worker", "drain", me)
    assert (drained.code, drained.err) == (
        125,
        f"Error: worker {me} is TERMINATED: there is nothing to drain\n",
    )
    assert "no worker" in fresh.run("worker", "drain", str(uuid.uuid4())).err


def test_the_drain_of_a_worker_that_has_just_died_stays(fresh: Hodei, tmp_path: Path) -> None:
    """Nobody has called it UNREACHABLE yet; but no server has its stream."""
    start_worker(fresh, "worker", tmp_path / "worker", fresh.token())
    me = identity(tmp_path / "worker")["worker_id"]
    fresh.ok("worker", "drain", me)
    fresh.stack.parts[-1].process.kill()
    eventually(lambda: fresh.sql("SELECT connected FROM workers") == [(False,)])
    undone = fresh.run("worker", "drain", "--undo", me)
    assert undone.code == 125
    assert f"worker {me} is connected to no server: it gets no work before" in undone.err
    assert fresh.sql("SELECT state, draining FROM workers") == [("DRAINING", True)]
