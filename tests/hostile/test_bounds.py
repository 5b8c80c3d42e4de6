"""Clients that ask for too much: the server's memory stays under 512 MB, and another client's
create under 1 s."""

import json
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.hostile.conftest import (
    Attacker,
    attack,
    server_process,
    through_another_address,
    watched,
)
from tests.running import Hodei

LATER = "2900-01-01T00:00:00Z"


def test_followers_that_read_nothing(one: Hodei) -> None:
    job_id = one.submit("--run-at", LATER, "--command", "true")
    fill_log(one, job_id, megabytes=40)
    with (
        watched(one) as seen,
        attack("follow_and_read_nothing", one.addresses[0], job_id, 1000) as counts,
    ):
        time.sleep(1)
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["held"] == 400
    assert counts["RESOURCE_EXHAUSTED"] == 600
    (words,) = [key for key in counts if key.startswith("words: ")]
    assert "400 log readers from this address already" in words
    seen.check()


@pytest.mark.parametrize("connections", [1, 60])
def test_large_creates_at_once(one: Hodei, connections: int) -> None:
    with watched(one) as seen, attack("create_large", one.addresses[0], 60, connections) as counts:
        time.sleep(0.5)
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["OK"] >= 8
    assert counts["OK"] + counts.get("RESOURCE_EXHAUSTED", 0) == 60
    seen.check()


@pytest.mark.parametrize("connections", [1, 50])
def test_a_flood_of_questions(one: Hodei, connections: int) -> None:
    with watched(one) as seen, attack("get_status", one.addresses[0], 5000, connections) as counts:
        pass
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["OK"] > 600
    seen.check()


def test_a_flood_of_calls_of_unknown_methods(one: Hodei) -> None:
    """They wait together with calls that are rarely made, and apart from creates."""
    with (
        watched(one) as seen,
        attack("call_unknown_methods", one.addresses[0], 20_000, 50) as counts,
    ):
        one.ok("token", "list")
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["UNIMPLEMENTED"] > 600
    seen.check()


def test_questions_that_are_too_large(one: Hodei) -> None:
    with watched(one) as seen, attack("large_questions", one.addresses[0], 200, 20) as counts:
        pass
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["INVALID_ARGUMENT"] == 200
    seen.check()


KEYS = {f"key{n}": 1 for n in range(16_000)}
LABELS = {str(n): "" for n in range(200_000)}
PARTS: dict[str, tuple[str, Callable[[], Message]]] = {
    "keys of specs": ("CreateJobs", lambda: pb.CreateJobsRequest(specs=[json.dumps(KEYS)] * 15)),
    "specs": ("CreateJobs", lambda: pb.CreateJobsRequest(specs=[""] * 2_000_000)),
    "labels": ("FindJobs", lambda: pb.FindJobsRequest(filter=pb.JobFilter(labels=LABELS))),
    "ids": ("RetryJobs", lambda: pb.RetryJobsRequest(retries=[pb.RetryJobRequest()] * 1_900_000)),
}


@pytest.mark.parametrize("parts", PARTS)
def test_requests_of_very_many_parts(one: Hodei, attacker: Attacker, parts: str) -> None:
    """They take long to read, and what is said of each part must not keep the request."""
    name, request = PARTS[parts]
    body, before = request().SerializeToString().hex(), server_process(one).memory_info().rss
    with through_another_address(one.addresses[0]) as other, watched(one, other) as seen:
        for _ in range(2):
            counts = attacker("ask", one.addresses[0], 30, 6, f"/hodei.v1.JobService/{name}", body)
            print(counts)
    print(seen.rss >> 20, max(seen.creates_s))
    assert seen.rss - before < 256 << 20
    seen.check()


LIST_A_THOUSAND = "18e807"  # ListJobsRequest(limit=1000)


@pytest.mark.parametrize(("number", "connections"), [(500, 1), (1500, 30)])
def test_answers_that_nobody_takes(one: Hodei, number: int, connections: int) -> None:
    for _ in range(3):
        one.ok(
            "job",
            "submit",
            "--file",
            "-",
            stdin=json.dumps([{"command": "true", "run_at": LATER}] * 500).encode(),
        )
    arguments = (
        one.addresses[0],
        number,
        connections,
        "/hodei.v1.JobService/ListJobs",
        LIST_A_THOUSAND,
    )
    with watched(one) as seen, attack("take_nothing", *arguments) as counts:
        time.sleep(0.5)
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["open"] == connections
    seen.check()


@pytest.mark.parametrize("connections", [1, 20])
@pytest.mark.parametrize(
    "path",
    [
        "hodei.v1.JobService/CreateJobs",
        "hodei.v1.JobService/GetJob",
        "hodei.v1.WorkerService/Connect",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
def test_requests_that_stop_in_the_middle(one: Hodei, path: str, connections: int) -> None:
    """They hold up their own address for READ_S at most, and another address not at all."""
    with (
        through_another_address(one.addresses[0]) as other,
        watched(one, other) as seen,
        attack("stall", one.addresses[0], 400, connections, f"/{path}") as counts,
    ):
        time.sleep(0.5)
    print(counts, seen.rss >> 20, max(seen.creates_s))
    seen.check()


def test_a_request_that_does_not_come_whole_is_refused_in_time(one: Hodei) -> None:
    """Its turn is somebody else's then, also of the same address."""
    path = "/hodei.v1.JobService/GetJob"
    with (
        attack("stall", one.addresses[0], 8, 8, path),
        grpc.insecure_channel(one.addresses[0]) as channel,
    ):
        stub, begun = hodei_pb2_grpc.FleetServiceStub(channel), time.monotonic()
        while True:
            try:
                stub.GetStatus(pb.GetStatusRequest(), timeout=20)
                break
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                assert "without a turn to be read" in str(error.details())
        assert 3 < time.monotonic() - begun < 14


@pytest.mark.parametrize("greet", ["silent", "greet"])
def test_a_storm_of_connections(one: Hodei, greet: str) -> None:
    with watched(one) as seen, attack("connect_only", one.addresses[0], 1500, greet) as counts:
        time.sleep(0.5)
    print(counts, seen.rss >> 20, max(seen.creates_s))
    seen.check()


def test_another_address_has_its_share_when_one_uses_up_its_own(one: Hodei) -> None:
    """All calls that an address may have, each waiting for an answer that it does not take."""
    with through_another_address(one.addresses[0]) as other:
        one.submit("--run-at", LATER, "--command", "true")
        path = "/hodei.v1.FleetService/GetStatus"
        with (
            watched(one, other) as seen,
            attack("take_nothing", one.addresses[0], 3000, 10, path) as counts,
        ):
            options = [("grpc.use_local_subchannel_pool", 1)]
            with (
                grpc.insecure_channel(one.addresses[0], options=options) as channel,
                pytest.raises(grpc.RpcError, match="1000 calls from this address already"),
            ):
                hodei_pb2_grpc.FleetServiceStub(channel).GetStatus(pb.GetStatusRequest())
            with grpc.insecure_channel(other, options=options) as channel:
                hodei_pb2_grpc.FleetServiceStub(channel).GetStatus(pb.GetStatusRequest(), timeout=5)
    print(counts, seen.rss >> 20, max(seen.creates_s))
    seen.check()


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("take_nothing", ("/grpc.health.v1.Health/Watch",)),
        ("stall", ("/grpc.health.v1.Health/Check", 100)),
        ("stall", ("/hodei.v1.AccessService/WhoAmI", 100)),
    ],
)
def test_open_calls_leave_all_others_to_those_with_a_key(
    one: Hodei, name: str, more: tuple[object, ...]
) -> None:
    """From two addresses, each with as many as it may have, and more."""
    with (
        through_another_address(one.addresses[0]) as second,
        through_another_address(one.addresses[0], "127.0.0.3") as third,
        watched(one, third) as seen,
        attack(name, one.addresses[0], 1500, 15, *more) as counts,
        attack(name, second, 1500, 15, *more),
        grpc.insecure_channel(third) as channel,
    ):
        stub = hodei_pb2_grpc.FleetServiceStub(channel)
        for _ in range(10):
            stub.GetStatus(pb.GetStatusRequest(), timeout=5)
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["over"] >= 1000
    seen.check()


def test_an_address_has_four_streams_of_reflection(hodei: Hodei) -> None:
    over = threading.Event()

    def asks() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        over.wait(30)

    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        try:
            held = [stub.ServerReflectionInfo(asks()) for _ in range(4)]
            assert all(next(stream).list_services_response.service for stream in held)
            words = "4 streams of reflection from this address already"
            with pytest.raises(grpc.RpcError, match=words):
                next(stub.ServerReflectionInfo(asks()))
        finally:
            over.set()


def fill_log(one: Hodei, job_id: str, megabytes: int) -> None:
    one.sql(
        """
        INSERT INTO job_logs
            (job_id, lease, seq, attempt, stream, byte_offset, first_line, read_at, data)
        SELECT %s, 1, n, 1, 1, n * 65536, 1, now(), decode(repeat('61', 65536), 'hex')
        FROM generate_series(0, %s) n
        """,
        job_id,
        megabytes * 16 - 1,
    )
