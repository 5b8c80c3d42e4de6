"""API keys at the worker's stream, and workers' credentials at the API: neither is taken for the
other. A worker that a registrar's key has registered is trusted as little as any."""

import json
import uuid
from typing import Any

import grpc
import pytest

from hodei.access.roles import OF_KEYS, Role
from hodei.domain import api_key
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.hostile.conftest import Attacker, through_another_address, watched
from tests.hostile.keyed import Keyed
from tests.hostile.test_worker import FRAMES, HUGE
from tests.hostile.worker import HostileWorker

CONNECT = "/hodei.v1.WorkerService/Connect"
HELLO = pb.Hello(protocol_min=1, protocol_max=1, name="evil", slots=8, instance=str(uuid.uuid4()))


def refused(
    channel: grpc.Channel, said: list[tuple[str, str]], frames: list[pb.WorkerFrame]
) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refusal:
        list(hodei_pb2_grpc.WorkerServiceStub(channel).Connect(iter(frames), metadata=said))
    return refusal.value.code(), str(refusal.value.details())


@pytest.mark.parametrize("role", [*OF_KEYS, "wrong"])
def test_an_api_key_is_no_credential(keyed: Keyed, attacker: Attacker, role: str) -> None:
    """Alone, as the secret of a worker that exists, or beside a hello that says much."""
    key = api_key.make("admin").text if role == "wrong" else keyed.keys[Role(role)]
    ((worker_id,),) = keyed.hodei.sql("SELECT id::text FROM workers")
    before = keyed.rows()
    frames = [
        pb.WorkerFrame(hello=HELLO),
        pb.WorkerFrame(results=[pb.Result(lease=1, outcome=pb.SUCCEEDED)]),
        pb.WorkerFrame(next_credential_sha256=b"x" * 32),
    ]
    with grpc.insecure_channel(keyed.address) as channel:
        for text in (key, f"{worker_id}:{key}", f"{worker_id}:{key.encode().hex()}", f"{key}:00"):
            code, words = refused(channel, [("authorization", f"Bearer {text}")], frames)
            assert code is grpc.StatusCode.UNAUTHENTICATED
            assert "credential" in words
            assert key[-20:] not in words
    with (
        through_another_address(keyed.address) as other,
        watched(keyed.hodei, other, key=keyed.innocent) as seen,
    ):
        counts = attacker("open_and_say_nothing", keyed.address, 300, CONNECT, key=key)
    print(counts)
    assert counts["UNAUTHENTICATED"] == 300
    seen.check()
    assert keyed.rows() == before
    keyed.check_well()
    assert len(keyed.hodei.log("server-0").splitlines()) < 100


def test_a_credential_is_no_api_key(keyed: Keyed) -> None:
    worker = HostileWorker(keyed.address, "", key=keyed.keys[Role.REGISTRAR])
    text = f"{worker.id}:{worker.secret.hex()}"
    with grpc.insecure_channel(keyed.address) as channel, worker:
        for scheme in ("Bearer ", "", "bearer ", "Bearer hodei_"):
            with pytest.raises(grpc.RpcError) as refusal:
                hodei_pb2_grpc.FleetServiceStub(channel).GetStatus(
                    pb.GetStatusRequest(), metadata=[("authorization", scheme + text)], timeout=10
                )
            assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert text not in str(refusal.value.details())
    assert worker.secret.hex() not in keyed.hodei.log("server-0")


def test_a_worker_that_a_registrar_has_registered_speaks_for_itself_alone(keyed: Keyed) -> None:
    """Each frame that the store cannot hold ends its stream alone; what it says of leases that are
    not its own changes nothing."""
    innocent = [json.dumps({"command": "true", "labels": {"nobody": "has"}})]
    with grpc.insecure_channel(keyed.address) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        said = [("authorization", f"Bearer {keyed.innocent}")]
        jobs.CreateJobs(pb.CreateJobsRequest(specs=innocent), metadata=said, timeout=10)
        before = keyed.rows()
        with HostileWorker(keyed.address, "", key=keyed.keys[Role.REGISTRAR]) as evil:
            for name, frame in FRAMES.items():
                evil.send(**frame)
                assert evil.ends() is grpc.StatusCode.INVALID_ARGUMENT, (name, evil.words)
                evil.connect()
            leases = list(range(1, 500))
            lies: list[dict[str, Any]] = [
                {"results": [pb.Result(lease=n, outcome=pb.FAILED) for n in leases]},
                {"accepts": [pb.Accept(lease=n) for n in leases]},
                {"logs": [pb.LogChunk(lease=n, stream=pb.STDOUT, data=b"x") for n in leases]},
                {"heartbeat": pb.Heartbeat(held=[pb.Held(lease=n) for n in leases])},
            ]
            for lie in lies:
                evil.send(**lie)
            evil.send(accepts=[pb.Accept(lease=HUGE)])
            assert evil.ends() is grpc.StatusCode.INVALID_ARGUMENT, evil.words
        jobs.CreateJobs(pb.CreateJobsRequest(specs=innocent), metadata=said, timeout=10)
    for least in (Role.SUBMITTER, Role.OPERATOR, Role.ADMIN):
        assert keyed.rows()[least] == before[least]
    assert keyed.hodei.sql("SELECT count(*) FROM job_logs") == [(0,)]
    keyed.check_well()
