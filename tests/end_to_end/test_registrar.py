"""Workers without a token: the API key of a registrar registers them, and nothing else."""

import subprocess
import uuid
from pathlib import Path

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.end_to_end.lone_worker import run_worker, worker_id
from tests.eventually import eventually
from tests.running import Hodei


def make_key(hodei: Hodei, role: str, name: str) -> str:
    """The text of a new key; the first one is made in the database."""
    there = ("--database-url", hodei.url)
    made = hodei.ok("apikey", "create", "--role", role, "--name", name, *there)
    return made.text.strip()


def key_file(hodei: Hodei, role: str, name: str = "pods") -> Path:
    path = hodei.folder / f"{role}.key"
    path.write_text(make_key(hodei, role, name) + "\n")
    path.chmod(0o600)
    return path


def refused(hodei: Hodei, name: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return run_worker(hodei, hodei.folder / name, *flags)


def test_a_registrars_key_registers_a_worker_and_the_tables_tell_the_story(fresh: Hodei) -> None:
    path = key_file(fresh, "registrar")
    state = fresh.folder / "w"
    started = {"HODEI_API_KEY_FILE": str(path)}
    fresh.stack.worker("worker", fresh.addresses[0], state, None, environment=started)
    me = worker_id(state)
    assert fresh.sql("SELECT id::text, state FROM workers") == [(me, "READY")]
    assert fresh.sql(
        """
        SELECT worker_id::text, consumed_by::text, created_by, consumed_at >= created_at
        FROM worker_bootstrap_tokens
        """
    ) == [(me, me, "api:pods", True)]
    told = """
        SELECT event_type, actor, payload ->> 'token_id'
        FROM domain_events
        WHERE event_type IN ('TokenCreated', 'WorkerRegistered', 'TokenConsumed')
        ORDER BY event_type
        """
    fingerprint = "SELECT hodei_token_fingerprint(token) FROM worker_bootstrap_tokens"
    ((token_id,),) = fresh.sql(fingerprint)
    assert fresh.sql(told) == [
        ("TokenConsumed", f"worker:{me}", token_id),
        ("TokenCreated", "api:pods", token_id),
        ("WorkerRegistered", f"worker:{me}", token_id),
    ]
    key = path.read_text().strip()
    assert key not in fresh.log("worker") + fresh.log("server-0")

    # A revoked id does not come back: the host becomes a worker of its own.
    fresh.sql("UPDATE workers SET revoked_at = now(), connected = false")
    fresh.sql("SELECT pg_notify('hodei_worker', id::text) FROM workers")
    eventually(lambda: worker_id(state) != me)
    count = "SELECT count(*) FROM worker_bootstrap_tokens WHERE consumed_at IS NULL"
    assert fresh.sql(count) == [(0,)]


def test_another_key_no_key_and_no_file_are_refused_in_words(fresh: Hodei) -> None:
    viewer = key_file(fresh, "viewer", "dashboard")
    ran = refused(fresh, "a", "--api-key-file", str(viewer))
    assert ran.returncode == 1
    assert "the API key dashboard has the role viewer: expected registrar" in ran.stderr
    ran = refused(fresh, "b", "--api-key-file", str(fresh.folder / "none"))
    assert (ran.returncode, "No such file or directory" in ran.stderr) == (2, True)
    (fresh.folder / "odd").write_text("hodei_\x1b[31m")
    ran = refused(fresh, "c", "--api-key-file", str(fresh.folder / "odd"))
    assert (ran.returncode, "expected an API key" in ran.stderr) == (2, True)
    assert "\x1b" not in ran.stderr
    revoked = key_file(fresh, "registrar")
    fresh.sql("UPDATE api_keys SET revoked_at = now() WHERE role = 'registrar'")
    ran = refused(fresh, "d", "--api-key-file", str(revoked))
    assert ran.returncode == 1
    assert "hodei apikey create --role registrar" in ran.stderr
    for text in (viewer.read_text(), revoked.read_text()):
        assert text.strip() not in ran.stderr + fresh.log("server-0")
    assert fresh.sql("SELECT count(*) FROM workers") == [(0,)]
    assert fresh.sql("SELECT count(*) FROM worker_bootstrap_tokens") == [(0,)]


def test_it_takes_no_id_of_another_worker_and_a_lost_reply_costs_no_second_token(
    fresh: Hodei,
) -> None:
    said = (("authorization", f"Bearer {make_key(fresh, 'registrar', 'pods')}"),)
    me = str(uuid.uuid4())
    request = pb.RegisterRequest(worker_id=me, secret_sha256=b"a" * 32, name="w")
    other = pb.RegisterRequest(worker_id=me, secret_sha256=b"b" * 32, name="w")
    with grpc.insecure_channel(fresh.addresses[0]) as channel:
        stub = hodei_pb2_grpc.WorkerServiceStub(channel)
        for _ in range(2):
            assert stub.Register(request, metadata=said).worker_id == me
        for words, wanted in (
            (other, grpc.StatusCode.UNAUTHENTICATED),
            (
                pb.RegisterRequest(worker_id=me, secret_sha256=b"a"),
                grpc.StatusCode.INVALID_ARGUMENT,
            ),
            (
                pb.RegisterRequest(token=str(uuid.uuid4()), worker_id=me, secret_sha256=b"a" * 32),
                grpc.StatusCode.UNAUTHENTICATED,  # a token that is given counts
            ),
        ):
            with pytest.raises(grpc.RpcError) as refusal:
                stub.Register(words, metadata=said)
            assert refusal.value.code() == wanted
        fresh.sql("UPDATE workers SET revoked_at = now()")
        with pytest.raises(grpc.RpcError) as refusal:
            stub.Register(request, metadata=said)
        assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as refusal:
            stub.Register(request)
        assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as refusal:
            hodei_pb2_grpc.FleetServiceStub(channel).CreateToken(
                pb.CreateTokenRequest(), metadata=said
            )
        assert refusal.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert fresh.sql("SELECT credential_sha256 FROM workers") == [(b"a" * 32,)]
    kinds = "SELECT event_type, count(*) FROM domain_events GROUP BY 1"
    assert (
        dict(fresh.sql(kinds)).items()
        >= {
            "TokenCreated": 1,
            "TokenConsumed": 1,
            "WorkerRegistered": 1,
        }.items()
    )
