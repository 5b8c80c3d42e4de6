"""A worker's token and its credential: how it registers, and who is refused."""

import json
import stat
import uuid

import pytest

from hodei.local.stack import Stack
from tests.end_to_end.lone_worker import UNIFORM, run_worker, worker_id
from tests.eventually import eventually
from tests.running import Hodei


@pytest.mark.unprivileged
def test_a_token_minted_by_sql_registers_one_worker_and_never_shows_in_a_log(fresh: Hodei) -> None:
    (token,) = fresh.sql(
        """
        INSERT INTO worker_bootstrap_tokens (token, worker_id, expires_at)
        VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000000',
                now() + interval '1 hour')
        RETURNING token
        """
    )[0]
    state = fresh.folder / "w"
    fresh.stack.worker(
        "worker",
        f"http://{fresh.addresses[0]}",
        state,
        str(token),
        "--label",
        "gpu=a100",
        "--label",
        "zone=b",
    )
    rows = fresh.sql("SELECT id::text, state, labels, slots FROM workers")
    [(found, word, labels, slots)] = rows
    assert (found, word, slots) == (worker_id(state), "READY", 4)
    assert labels.items() >= {"gpu": "a100", "zone": "b"}.items()
    assert fresh.sql(
        "SELECT consumed_by::text, consumed_at IS NOT NULL FROM worker_bootstrap_tokens"
    ) == [(worker_id(state), True)]
    words = fresh.log("worker") + fresh.log("server-0") + fresh.log("server-1")
    assert "HODEI_OTP_TOKEN is set" in fresh.log("worker")
    secret = json.loads((state / "identity.json").read_text())["secret"]
    assert str(token) not in words
    assert secret not in words
    assert str(token) not in json.dumps(
        fresh.sql("SELECT payload, aggregate_id, actor FROM domain_events")
    )
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "identity.json").stat().st_mode) == 0o600
    assert all(f"worker_id={worker_id(state)}" in line for line in fresh.log("worker").splitlines())


def test_unknown_expired_and_used_tokens_get_one_uniform_answer(fresh: Hodei) -> None:
    used = fresh.token()
    fresh.stack.worker("worker", fresh.addresses[0], fresh.folder / "first", used)
    (expired,) = fresh.sql(
        """
        INSERT INTO worker_bootstrap_tokens (expires_at)
        VALUES (now() - interval '1 s')
        RETURNING token
        """
    )[0]
    for number, token in enumerate((str(uuid.uuid4()), str(expired), used)):
        ran = run_worker(fresh, fresh.folder / f"w{number}", token=token)
        assert ran.returncode == 1
        assert UNIFORM in ran.stderr
        assert token not in ran.stderr


def test_a_token_that_is_no_uuid_is_refused_in_the_guides_words(fresh: Hodei) -> None:
    ran = run_worker(fresh, fresh.folder / "w", token="not-a-uuid")
    assert ran.returncode == 2
    assert "Invalid OTP token: OTP token must be a UUID" in ran.stderr


def test_a_worker_without_a_token_or_credential_says_what_to_do(fresh: Hodei) -> None:
    ran = run_worker(fresh, fresh.folder / "w")
    assert ran.returncode == 1
    assert "worker credential unknown or revoked" in ran.stderr
    assert "hodei token create" in ran.stderr


def test_it_comes_back_with_its_own_credential_to_any_server(fresh: Hodei) -> None:
    state = fresh.folder / "w"
    part = fresh.stack.worker("worker", fresh.addresses[0], state, fresh.token())
    me = worker_id(state)
    Stack.stop_part(part)
    eventually(lambda: fresh.sql("SELECT state FROM workers") == [("TERMINATED",)])
    fresh.stack.worker("worker-again", fresh.addresses[1], state, None)
    assert fresh.sql("SELECT id::text, state FROM workers") == [(me, "READY")]


def test_a_lost_registration_reply_does_not_burn_the_token(fresh: Hodei) -> None:
    import grpc

    from hodei.protocol import hodei_pb2 as pb
    from hodei.protocol import hodei_pb2_grpc

    token, me = fresh.token(), str(uuid.uuid4())
    request = pb.RegisterRequest(token=token, worker_id=me, secret_sha256=b"a" * 32, name="w")
    with grpc.insecure_channel(fresh.addresses[0]) as channel:
        stub = hodei_pb2_grpc.WorkerServiceStub(channel)
        assert [stub.Register(request).worker_id for _ in range(2)] == [me, me]
        others = (
            pb.RegisterRequest(token=token, worker_id=me, secret_sha256=b"b" * 32),
            pb.RegisterRequest(token=token, worker_id=str(uuid.uuid4()), secret_sha256=b"a" * 32),
        )
        for other in others:
            with pytest.raises(grpc.RpcError) as refusal:
                stub.Register(other)
            assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert refusal.value.details() == UNIFORM
        # A nil token never takes over an id whose secret differs; one bound to that id may.
        takeover = pb.RegisterRequest(token=fresh.token(), worker_id=me, secret_sha256=b"c" * 32)
        with pytest.raises(grpc.RpcError):
            stub.Register(takeover)
        assert fresh.sql("SELECT credential_sha256 FROM workers") == [(b"a" * 32,)]
        bound = fresh.ok("token", "create", "--worker-id", me).text.strip()
        stub.Register(pb.RegisterRequest(token=bound, worker_id=me, secret_sha256=b"c" * 32))
        assert fresh.sql("SELECT credential_sha256 FROM workers") == [(b"c" * 32,)]


def test_revoke_ends_the_credential_the_stream_and_the_jobs(fresh: Hodei) -> None:
    state = fresh.folder / "w"
    part = fresh.stack.worker("worker", fresh.addresses[1], state, fresh.token())
    job_id = fresh.submit("--on-lost", "fail", "--command", "sleep 60")
    fresh.until(job_id, "RUNNING")
    assert (
        fresh.ok("worker", "revoke", worker_id(state), "--format", "json", server=0).json["revoked"]
        is True
    )
    eventually(lambda: part.ended)
    assert part.process.returncode == 1
    assert "does not accept this worker's credential" in part.log.read_text()
    job = fresh.finish(job_id)
    assert (job["state"], job["reason"]) == ("FAILED", "WORKER_LOST")
    assert run_worker(fresh, state).returncode == 1


def test_a_cleaned_database_gets_its_worker_back_when_it_has_a_token(fresh: Hodei) -> None:
    """The guide's clean under running servers: what was dropped comes back at the next need, and
    the worker registers again."""
    state = fresh.folder / "w"
    fresh.stack.worker("worker", ",".join(fresh.addresses), state, fresh.token())
    fresh.sql(
        """
        DROP TABLE job_queue CASCADE;
        DROP TABLE jobs CASCADE;
        DROP TABLE workers CASCADE;
        DROP TABLE worker_bootstrap_tokens CASCADE
        """
    )
    eventually(lambda: "applying schema.sql again" in fresh.log("server-0") + fresh.log("server-1"))
    eventually(
        lambda: fresh.sql("SELECT to_regclass('worker_bootstrap_tokens') IS NOT NULL") == [(True,)]
    )
    part = fresh.stack.parts[-1]
    # Its only token is used and gone; the database might be a backup that is just being restored.
    eventually(lambda: "trying for 600 s more" in part.log.read_text())
    Stack.stop_part(part)
    fresh.stack.worker("worker-again", fresh.addresses[0], state, fresh.token())
    assert fresh.ok("job", "run", "--command", "echo back").text == "back\n"
    assert fresh.sql("SELECT id::text FROM workers") == [(worker_id(state),)]


def test_a_stream_without_a_valid_credential_is_refused(fresh: Hodei) -> None:
    import grpc

    from hodei.protocol import hodei_pb2 as pb
    from hodei.protocol import hodei_pb2_grpc

    state = fresh.folder / "w"
    fresh.stack.worker("worker", fresh.addresses[0], state, fresh.token())
    hello = pb.WorkerFrame(
        hello=pb.Hello(protocol_min=1, protocol_max=1, instance=str(uuid.uuid4()), slots=1)
    )
    newer = pb.WorkerFrame(
        hello=pb.Hello(protocol_min=7, protocol_max=9, instance=str(uuid.uuid4()), slots=1)
    )
    wrong, right = (
        f"Bearer {worker_id(state)}:{s}"
        for s in ("00" * 32, json.loads((state / "identity.json").read_text())["secret"])
    )
    cases = (
        (None, hello, grpc.StatusCode.UNAUTHENTICATED),
        ("Bearer nonsense", hello, grpc.StatusCode.UNAUTHENTICATED),
        (wrong, hello, grpc.StatusCode.UNAUTHENTICATED),
        (right, hello, grpc.StatusCode.ALREADY_EXISTS),
        (right, newer, grpc.StatusCode.FAILED_PRECONDITION),
        (right, pb.WorkerFrame(), grpc.StatusCode.INVALID_ARGUMENT),
    )
    with grpc.insecure_channel(fresh.addresses[1]) as channel:
        stub = hodei_pb2_grpc.WorkerServiceStub(channel)
        for credential, frame, status in cases:
            metadata = (("authorization", credential),) if credential else ()
            with pytest.raises(grpc.RpcError) as refusal:
                next(stub.Connect(iter([frame]), metadata=metadata))
            assert refusal.value.code() == status, credential
    assert fresh.sql("SELECT state FROM workers") == [("READY",)]


def test_a_revoked_token_is_useless_and_lists_show_only_fingerprints(fresh: Hodei) -> None:
    token = fresh.ok("token", "create", "--ttl", "10m").text.strip()
    (listed,) = fresh.ok("token", "list", "--format", "json").json
    assert listed["state"] == "USABLE"
    assert token not in fresh.ok("token", "list").text
    assert (
        fresh.ok("token", "revoke", listed["token_id"]).text
        == f"token {listed['token_id']} is revoked\n"
    )
    assert fresh.run("token", "revoke", listed["token_id"]).code == 125
    assert UNIFORM in run_worker(fresh, fresh.folder / "w", token=token).stderr
    events = fresh.sql(
        "SELECT event_type, aggregate_id, correlation_id FROM domain_events ORDER BY id"
    )
    assert events == [
        (event, listed["token_id"], listed["token_id"])
        for event in ("TokenCreated", "TokenRevoked")
    ]
