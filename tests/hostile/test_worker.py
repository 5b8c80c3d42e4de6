"""A worker is trusted with its own jobs only, and what it sends costs its own stream only."""

import json
import queue
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.bounds import MOST_HELD
from tests.eventually import eventually
from tests.hostile.worker import HostileWorker
from tests.running import Hodei

HUGE = (1 << 64) - 1
FRAMES: dict[str, dict[str, Any]] = {
    "heartbeat, lease": {"heartbeat": pb.Heartbeat(held=[pb.Held(lease=HUGE)])},
    "heartbeat, busy slots": {"heartbeat": pb.Heartbeat(busy_slots=(1 << 32) - 1)},
    "heartbeat, too many": {
        "heartbeat": pb.Heartbeat(held=[pb.Held(lease=n) for n in range(1, MOST_HELD + 2)])
    },
    "accept, lease": {"accepts": [pb.Accept(lease=HUGE)]},
    "reject, lease": {"rejects": [pb.Reject(lease=1 << 63)]},
    "cancel received": {"cancels_received": [1 << 63]},
    "started": {"started": [HUGE]},
    "stopping": {"stopping": [pb.Stopping(lease=HUGE)]},
    "result, lease": {"results": [pb.Result(lease=HUGE, outcome=pb.SUCCEEDED)]},
    "result, outcome": {"results": [pb.Result(lease=1)]},
    "result, reason": {"results": [pb.Result(lease=1, outcome=pb.FAILED, reason="BECAUSE")]},
    "result, reason with NUL": {
        "results": [pb.Result(lease=1, outcome=pb.FAILED, reason="TIME\0OUT")]
    },
    "result, memory": {
        "results": [pb.Result(lease=1, outcome=pb.SUCCEEDED, peak_memory_bytes=HUGE)]
    },
    "result, chunks": {"results": [pb.Result(lease=1, outcome=pb.SUCCEEDED, log_chunks=HUGE)]},
    "result, too many": {
        "results": [pb.Result(lease=n, outcome=pb.SUCCEEDED) for n in range(1, 50_000)]
    },
    "late result, job": {
        "results": [pb.Result(lease=1, outcome=pb.SUCCEEDED, late_job_id="no uuid")]
    },
    "next secret, too short": {"next_credential_sha256": b"x"},
    "next secret, too long": {"next_credential_sha256": b"x" * 900_000},
    "log, lease": {"logs": [pb.LogChunk(lease=HUGE, stream=pb.STDOUT, data=b"x")]},
    "log, offset": {"logs": [pb.LogChunk(lease=1, stream=pb.STDOUT, byte_offset=HUGE, data=b"x")]},
    "log, time": {
        "logs": [pb.LogChunk(lease=1, stream=pb.STDOUT, read_unix_us=(1 << 63) - 1, data=b"x")]
    },
    "log, negative time": {
        "logs": [pb.LogChunk(lease=1, stream=pb.STDOUT, read_unix_us=-(1 << 63), data=b"x")]
    },
    "log, empty": {"logs": [pb.LogChunk(lease=1, stream=pb.STDOUT)]},
    "log, too long": {"logs": [pb.LogChunk(lease=1, stream=pb.STDOUT, data=b"x" * 65_537)]},
    "log, stream": {"logs": [pb.LogChunk(lease=1, stream=9, data=b"x")]},  # type: ignore[arg-type]
    "log, too many": {
        "logs": [pb.LogChunk(lease=1, seq=n, stream=pb.STDOUT, data=b"x") for n in range(30_000)]
    },
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_what_the_store_cannot_hold_ends_that_stream_alone(
    frame: dict[str, Any], hodei: Hodei
) -> None:
    innocent = hodei.submit("--label", "zone=a", "--command", "sleep 0.3; echo done")
    with HostileWorker(hodei.addresses[0], hodei.token()) as evil:
        evil.send(**frame)
        assert evil.ends() == grpc.StatusCode.INVALID_ARGUMENT, evil.words
    assert hodei.finish(innocent)["state"] == "SUCCEEDED"
    assert (
        hodei.sql("SELECT count(*) FROM workers WHERE state = 'READY' OR state = 'BUSY'")[0][0] >= 1
    )


HELLOS: dict[str, dict[str, Any]] = {
    "labels of 3 MB": {"labels": {f"l{n}": "x" * 255 for n in range(10_000)}},
    "a label with NUL": {"labels": {"a": "x\0y"}},
    "a label's name": {"labels": {"no name": "x"}},
    "a name with an escape": {"name": "evil\x1b[2J"},
    "a name with NUL": {"name": "evil\0"},
    "a job user with an escape": {"job_user": "ro\x1b[2Jot"},
    "a long job user": {"job_user": "x" * 201},
    "no slots": {"slots": 0},
    "many slots": {"slots": (1 << 32) - 1},
    "a lease": {"held": [pb.Held(lease=HUGE)]},
    "no instance": {"instance": "no uuid"},
}


@pytest.mark.parametrize("hello", HELLOS.values(), ids=HELLOS)
def test_a_hello_that_cannot_be_stored_or_shown_is_refused(
    hello: dict[str, Any], hodei: Hodei
) -> None:
    with HostileWorker(hodei.addresses[0], hodei.token(), **hello) as evil:
        assert evil.ends() == grpc.StatusCode.INVALID_ARGUMENT, evil.words
    assert hodei.ok("worker", "list").code == 0


def test_few_labels_of_too_many_bytes_are_refused_with_their_bytes(hodei: Hodei) -> None:
    labels = {f"l{n:02}": "\N{GRINNING FACE}" * 255 for n in range(40)}
    with HostileWorker(hodei.addresses[0], hodei.token(), labels=labels) as evil:
        assert evil.ends() == grpc.StatusCode.INVALID_ARGUMENT, evil.words
    assert "at most 100 of 32768 bytes in all, got 40 of 40920" in evil.words


def test_the_nil_uuid_is_no_worker(hodei: Hodei) -> None:
    token = hodei.token()
    with (
        grpc.insecure_channel(hodei.addresses[0]) as channel,
        pytest.raises(grpc.RpcError) as refusal,
    ):
        request = pb.RegisterRequest(
            token=token, worker_id="00000000-0000-0000-0000-000000000000", secret_sha256=b"x" * 32
        )
        channel.unary_unary(
            "/hodei.v1.WorkerService/Register",
            request_serializer=pb.RegisterRequest.SerializeToString,
            response_deserializer=pb.RegisterResponse.FromString,
        )(request, timeout=10)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with HostileWorker(hodei.addresses[0], token):
        pass  # the token was not spent


LIES: dict[str, Callable[[list[int]], dict[str, Any]]] = {
    "results": lambda leases: {
        "results": [pb.Result(lease=n, outcome=pb.SUCCEEDED, started_unix_us=1) for n in leases]
    },
    "losses": lambda leases: {
        "results": [pb.Result(lease=n, outcome=pb.LOST, started_unix_us=1) for n in leases]
    },
    "accepts": lambda leases: {"accepts": [pb.Accept(lease=n) for n in leases]},
    "rejects": lambda leases: {"rejects": [pb.Reject(lease=n, reason="mine") for n in leases]},
    "logs": lambda leases: {
        "logs": [
            pb.LogChunk(lease=n, seq=s, stream=pb.STDOUT, data=b"FORGED\n")
            for n in leases
            for s in range(8)
        ]
    },
    "cancels": lambda leases: {
        "cancels_received": leases,
        "stopping": [pb.Stopping(lease=n) for n in leases],
    },
    "held": lambda leases: {
        "heartbeat": pb.Heartbeat(held=[pb.Held(lease=n, phase=pb.Held.WAITING) for n in leases])
    },
}


@pytest.fixture(scope="module")
def honest(shared: Hodei, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hodei]:
    """The shared system with two more workers, one at each server; only they can run the jobs that
    require honest=yes. A liar without that label is given none of these. Each has a slot for every
    job, so that none waits for one and is asked back."""
    flags = ("--slots", "12", "--label", "honest=yes")
    parts = []
    for n, address in enumerate(shared.addresses):
        state = tmp_path_factory.mktemp("honest")
        part = shared.stack.worker(f"honest-{n}", address, state, shared.token(), *flags)
        parts.append(part)
    yield shared
    for part in parts:
        shared.stack.stop_part(part)
        shared.stack.parts.remove(part)


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_word_about_the_lease_of_another_worker_changes_nothing(
    lie: Callable[[list[int]], dict[str, Any]], honest: Hodei, tmp_path: Path
) -> None:
    """Flooded while honest jobs run: each runs once, under its one attempt, with its own log."""
    script = f"echo x >> {tmp_path}/$HODEI_JOB_ID; for i in 1 2 3; do echo line $i; sleep 0.5; done"
    spec = json.dumps({"script": script, "labels": {"honest": "yes"}, "on_lost": "fail"})
    newest = "SELECT last_value FROM hodei_lease_seq"
    with HostileWorker(honest.addresses[0], honest.token()) as evil:
        ((first,),) = honest.sql(newest)
        made = honest.sql("SELECT hodei_enqueue(%s::jsonb) FROM generate_series(1, 12)", spec)
        ids = [job_id for (job_id,) in made]
        until = time.monotonic() + 3.0
        while time.monotonic() < until and not evil.ended.is_set():
            evil.send(**lie(list(range(first, honest.sql(newest)[0][0] + 5))))
            time.sleep(0.02)
        assert evil.status in (None, grpc.StatusCode.INVALID_ARGUMENT), (
            evil.words,
            honest.log("server-0")[-3000:],
        )
        ended = "SELECT count(*) FROM jobs WHERE id = ANY (%s) AND completed_at IS NOT NULL"
        eventually(lambda: honest.sql(ended, ids) == [(12,)], most_s=60)
    asked = "SELECT state, attempts, logs_complete FROM jobs WHERE id = ANY (%s)"
    assert honest.sql(asked, ids) == [("SUCCEEDED", 1, True)] * 12
    wrote = """
        SELECT string_agg(data, '' ORDER BY lease, seq)
        FROM job_logs
        WHERE job_id = ANY (%s)
        GROUP BY job_id
    """
    assert honest.sql(wrote, ids) == [(b"line 1\nline 2\nline 3\n",)] * 12
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        str(job_id): "x\n" for job_id in ids
    }
    told = "SELECT DISTINCT event_type FROM domain_events WHERE aggregate_id = ANY (%s) ORDER BY 1"
    kinds = [kind for (kind,) in honest.sql(told, [str(job_id) for job_id in ids])]
    assert kinds == ["JobAssigned", "JobCreated", "JobStatusChanged"]


def test_a_job_that_its_worker_has_forgotten_is_lost_though_another_lists_it(one: Hodei) -> None:
    """The union of what all workers list kept it RUNNING for as long as the liar spoke."""
    with HostileWorker(one.addresses[0], one.token(), slots=1, labels={"mine": "1"}) as owner:
        job_id = one.submit("--label", "mine=1", "--on-lost", "fail", "--command", "true")
        run = eventually(lambda: owner.offers)[0]
        owner.send(accepts=[pb.Accept(lease=run.lease)])
        one.until(job_id, "RUNNING")
        one.sql("UPDATE leases SET accepted_at = accepted_at - interval '1 minute'")
        with HostileWorker(one.addresses[0], one.token()) as liar:
            for _ in range(6):
                owner.send(heartbeat=pb.Heartbeat())
                liar.send(
                    heartbeat=pb.Heartbeat(held=[pb.Held(lease=run.lease, phase=pb.Held.RUNNING)])
                )
                time.sleep(1.1)
            assert eventually(lambda: one.job(job_id)["reason"]) == "WORKER_LOST"


def test_stale_words_are_one_log_line_a_frame(one: Hodei) -> None:
    with HostileWorker(one.addresses[0], one.token()) as evil:
        for _ in range(5):
            evil.send(results=[pb.Result(lease=n, outcome=pb.SUCCEEDED) for n in range(1, 1500)])
        eventually(lambda: sum(len(f.refused) for f in evil.frames) >= 5 * 1400)
    assert one.log("server-0").count("1499 refused") <= 5
    assert len(one.log("server-0").splitlines()) < 60


def test_clients_that_leave_before_their_hello_are_no_fault(one: Hodei) -> None:
    for _ in range(200):
        with grpc.insecure_channel(one.addresses[0]) as channel:
            connect: Any = channel.stream_stream("/hodei.v1.WorkerService/Connect")
            call = connect(
                iter(()), metadata=(("authorization", f"Bearer {'0' * 32}:aa"),), timeout=5
            )
            call.cancel()
    words = one.log("server-0")
    assert "fault of the server" not in words
    assert "Traceback" not in words
    assert "ERROR" not in words


def test_a_stream_announces_one_next_secret(hodei: Hodei) -> None:
    with HostileWorker(hodei.addresses[0], hodei.token()) as evil:
        for _ in range(100):
            evil.send(next_credential_sha256=b"n" * 32)
        eventually(lambda: sum(f.next_credential_stored == b"n" * 32 for f in evil.frames) > 1)
        evil.send(next_credential_sha256=b"o" * 32)
        assert evil.ends() == grpc.StatusCode.INVALID_ARGUMENT, evil.words
    asked = "SELECT next_credential_sha256 FROM workers WHERE id = %s"
    assert hodei.sql(asked, evil.id) == [(b"n" * 32,)]


@pytest.mark.parametrize("greets", [False, True])
def test_bytes_that_are_no_frame_are_refused_in_words(one: Hodei, greets: bool) -> None:
    """Before the hello nothing is known of who sends them."""
    evil = HostileWorker(one.addresses[0], one.token())
    hello = pb.Hello(protocol_min=1, protocol_max=1, slots=1, instance=str(uuid.uuid4()))
    raw: queue.Queue[bytes | None] = queue.Queue()
    if greets:
        raw.put(pb.WorkerFrame(hello=hello).SerializeToString())
    raw.put(b"\xff\xff\xff")
    said = (("authorization", f"Bearer {evil.id}:{evil.secret.hex()}"),)
    with grpc.insecure_channel(one.addresses[0]) as channel:
        method = channel.stream_stream("/hodei.v1.WorkerService/Connect", bytes, bytes)
        call: Any = method(iter(raw.get, None), metadata=said, timeout=20)
        with pytest.raises(grpc.RpcError) as refusal:
            list(call)
        raw.put(None)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "bytes that do not parse" in str(refusal.value.details())
    words = one.log("server-0")
    assert "Traceback" not in words
    assert "ERROR" not in words
