"""A worker's life: its token, its credential, its identity, its drain."""

import json
import os
import signal
import stat
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg
import pytest

from hodei.local.stack import Stack
from tests.eventually import eventually
from tests.running import Hodei

UNIFORM = "Invalid OTP token: Token not found, expired, or already consumed"


def run_worker(
    hodei: Hodei, state: Path, *flags: str, token: str | None = None, timeout: float = 20
) -> subprocess.CompletedProcess[str]:
    """A worker that is expected to end by itself."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HODEI_")}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "hodei_worker",
            "--server",
            hodei.addresses[0],
            "--state-dir",
            str(state),
            *flags,
        ],
        env=environment | ({"HODEI_OTP_TOKEN": token} if token else {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def worker_id(state: Path) -> str:
    return str(json.loads((state / "identity.json").read_text())["worker_id"])


@pytest.mark.unprivileged
def test_a_token_minted_by_sql_registers_one_worker_and_never_shows_in_a_log(fresh: Hodei) -> None:
    (token,) = fresh.sql(
        "INSERT INTO worker_bootstrap_tokens (token, worker_id, expires_at) VALUES (gen_random_uuid(), "
        "'00000000-0000-0000-0000-000000000000', now() + interval '1 hour') RETURNING token"
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
    assert rows == [(worker_id(state), "READY", {"gpu": "a100", "zone": "b"}, 4)]
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
        "INSERT INTO worker_bootstrap_tokens (expires_at) VALUES (now() - interval '1 s') RETURNING token"
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


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--slots", "0"], "--slots: expected 1 to 10000, got 0"),
        (["--label", "gpu"], "--label: expected KEY=VALUE"),
        (["--server", "nowhere"], "--server: expected HOST:PORT"),
        (["--job-user", "no-such-user"], "--job-user: "),
        (["--state-dir", "/proc/nowhere"], "--state-dir /proc/nowhere: cannot write there"),
        (["--log-level", "loud"], "log level: expected one of"),
    ],
)
@pytest.mark.unprivileged
def test_bad_settings_get_one_clear_message(tmp_path: Path, flags: list[str], words: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "hodei_worker", "--state-dir", str(tmp_path / "w"), *flags],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert words in ran.stderr


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


def test_a_second_one_with_the_same_identity_is_refused_while_the_first_lives(fresh: Hodei) -> None:
    state = fresh.folder / "w"
    fresh.stack.worker("worker", fresh.addresses[0], state, fresh.token())
    twin = fresh.folder / "twin"
    twin.mkdir(mode=0o700)
    (twin / "identity.json").write_text((state / "identity.json").read_text())
    part = fresh.stack.start(
        "twin",
        [
            "hodei_worker",
            "--server",
            fresh.addresses[1],
            "--state-dir",
            str(twin),
            "--on-worker-exit",
            "kill",
        ],
    )
    Stack.await_words(
        part, f"another process with worker id {worker_id(state)} is connected and beating"
    )
    assert "connected to" not in part.log.read_text()


def test_a_killed_worker_comes_back_at_once_though_its_server_has_not_noticed(fresh: Hodei) -> None:
    """The stream of the killed one is held open by a frozen server: its successor from the same
    folder need not wait."""
    state = fresh.folder / "w"
    part = fresh.stack.worker("worker", fresh.addresses[0], state, fresh.token())
    fresh.stack.parts[0].process.send_signal(signal.SIGSTOP)
    part.process.kill()
    part.process.wait()
    fresh.stack.worker("again", fresh.addresses[1], state, None)
    fresh.stack.parts[0].process.send_signal(signal.SIGCONT)
    assert fresh.ok("job", "run", "--command", "echo back", server=1).text == "back\n"


def test_the_state_folder_has_one_owner(fresh: Hodei) -> None:
    state = fresh.folder / "w"
    part = fresh.stack.worker("worker", fresh.addresses[0], state, fresh.token())
    ran = run_worker(fresh, state)
    assert ran.returncode == 2
    assert f"another hodei-worker (pid {part.process.pid}) uses it" in ran.stderr


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
    assert (
        "does not know this worker's credential: registering with the token" in part.log.read_text()
    )
    job = fresh.finish(job_id)
    assert (job["state"], job["reason"]) == ("FAILED", "WORKER_LOST")
    assert run_worker(fresh, state).returncode == 1


def test_a_cleaned_database_gets_its_worker_back_when_it_has_a_token(fresh: Hodei) -> None:
    """The guide's clean under running servers: what was dropped comes back at the next need, and
    the worker registers again."""
    state = fresh.folder / "w"
    fresh.stack.worker("worker", ",".join(fresh.addresses), state, fresh.token())
    fresh.sql(
        "DROP TABLE job_queue CASCADE; DROP TABLE jobs CASCADE; DROP TABLE workers CASCADE; DROP TABLE worker_bootstrap_tokens CASCADE"
    )
    eventually(
        lambda: (
            "is gone; applying schema.sql again" in fresh.log("server-0") + fresh.log("server-1")
        )
    )
    eventually(
        lambda: fresh.sql("SELECT to_regclass('worker_bootstrap_tokens') IS NOT NULL") == [(True,)]
    )
    part = fresh.stack.parts[-1]
    eventually(lambda: part.ended, most_s=30)  # its only token is used and gone
    fresh.stack.worker("worker-again", fresh.addresses[0], state, fresh.token())
    assert fresh.ok("job", "run", "--command", "echo back").text == "back\n"
    assert fresh.sql("SELECT id::text FROM workers") == [(worker_id(state),)]


def test_a_drained_worker_ends_what_it_runs_and_gets_nothing_new(fresh: Hodei) -> None:
    state = fresh.folder / "w"
    fresh.stack.worker("worker", fresh.addresses[1], state, fresh.token())
    gate = fresh.folder / "gate"
    running = fresh.submit("--command", f"until [ -e {gate} ]; do sleep 0.1; done; echo done")
    fresh.until(running, "RUNNING")
    assert (
        fresh.ok("worker", "drain", worker_id(state), "--format", "json", server=0).json["state"]
        == "DRAINING"
    )
    eventually(lambda: "draining by request: no new jobs" in fresh.log("worker"))
    waiting = fresh.submit("--command", "echo later")
    gate.touch()
    assert fresh.finish(running)["state"] == "SUCCEEDED"
    job = fresh.job(waiting)
    assert (job["state"], job["waiting_for"]) == (
        "PENDING",
        "a worker: those that fit are draining",
    )
    fresh.ok("worker", "drain", "--undo", worker_id(state))
    assert fresh.finish(waiting)["state"] == "SUCCEEDED"


def test_sigterm_lets_running_jobs_end_and_loses_no_result(fresh: Hodei) -> None:
    part = fresh.stack.worker("worker", fresh.addresses[0], fresh.folder / "w", fresh.token())
    gate = fresh.folder / "gate"
    job_id = fresh.submit("--command", f"until [ -e {gate} ]; do sleep 0.1; done; echo done")
    fresh.until(job_id, "RUNNING")
    part.process.send_signal(signal.SIGTERM)
    eventually(lambda: "draining: 1 jobs run" in fresh.log("worker"))
    gate.touch()
    assert part.process.wait(20) == 0
    job = fresh.job(job_id)
    assert (job["state"], job["attempts"], job["logs_complete"]) == ("SUCCEEDED", 1, True)
    eventually(lambda: fresh.sql("SELECT state FROM workers") == [("TERMINATED",)])


def test_a_job_whose_worker_was_stopped_runs_again_on_another(fresh: Hodei) -> None:
    first = fresh.stack.worker(
        "first", fresh.addresses[0], fresh.folder / "w1", fresh.token(), "--drain-timeout", "0.1"
    )
    job_id = fresh.submit(
        "--command", "echo attempt $HODEI_ATTEMPT; [ $HODEI_ATTEMPT = 2 ] || sleep 60"
    )
    fresh.until(job_id, "RUNNING")
    fresh.stack.worker("second", fresh.addresses[1], fresh.folder / "w2", fresh.token())
    first.process.send_signal(signal.SIGTERM)
    job = fresh.finish(job_id)
    assert (job["state"], job["attempts"]) == ("SUCCEEDED", 2)
    assert fresh.ok("job", "logs", job_id).text == "attempt 1\nattempt 2\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs as another user")
def test_jobs_run_as_the_job_user(fresh: Hodei) -> None:
    state = Path("/tmp") / f"hodei-test-{uuid.uuid4().hex[:8]}"
    try:
        fresh.stack.worker(
            "worker", fresh.addresses[0], state, fresh.token(), "--job-user", "nobody"
        )
        ran = fresh.ok(
            "job",
            "run",
            "--stdin",
            "-",
            "--command",
            "id -un; cat; touch mine; stat -c %U mine",
            stdin=b"in\n",
        )
        assert ran.text == "nobody\nin\nnobody\n"
    finally:
        fresh.stack.stop()
        subprocess.run(["rm", "-rf", str(state)], check=True)


def test_after_kill_9_its_running_job_goes_on_and_is_adopted(fresh: Hodei) -> None:
    """The supervisor is the jobs' parent: the next agent finds them, with their output and exit
    code."""
    state = fresh.folder / "w"
    part = fresh.stack.worker(
        "worker", fresh.addresses[0], state, fresh.token(), "--on-worker-exit", "keep"
    )
    job_id = fresh.submit("--command", "for n in 1 2 3 4 5 6; do echo $n; sleep 0.4; done; exit 9")
    fresh.wrote(job_id, "1\n")
    part.process.kill()
    part.process.wait()
    fresh.stack.worker("again", fresh.addresses[1], state, None)
    assert "adopted 1 jobs" in fresh.log("again")
    job = fresh.finish(job_id)
    assert (job["state"], job["exit_code"], job["attempts"], job["logs_complete"]) == (
        "FAILED",
        9,
        1,
        True,
    )
    assert fresh.ok("job", "logs", job_id).text == "1\n2\n3\n4\n5\n6\n"


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


@pytest.mark.slow
def test_log_batches_that_are_not_stored_are_told_and_not_lost(fresh: Hodei) -> None:
    """Nobody can write logs for a while, then the server is killed: what was on its way is sent
    again, to another one."""
    part = fresh.stack.worker(
        "worker",
        fresh.addresses[0],
        fresh.folder / "w",
        fresh.token(),
        "--server",
        ",".join(fresh.addresses),
    )
    holder = fresh.holder()
    job_id = fresh.submit(
        "--command", "yes | head -c 6000000; sleep 1; yes | head -c 6000000", server=1 - holder
    )
    with psycopg.connect(fresh.url) as busy:
        busy.execute("LOCK TABLE job_logs IN EXCLUSIVE MODE")
        eventually(lambda: "Log batch send timed out" in part.log.read_text())
        fresh.stack.parts[holder].process.kill()
        eventually(lambda: "Failed to send log batch to server" in part.log.read_text())
    out = fresh.ok("job", "logs", "-f", job_id, server=1 - holder).out
    assert out == b"y\n" * 6_000_000
    job = fresh.job(job_id, server=1 - holder)
    assert (job["state"], job["log_bytes"], job["logs_complete"], job["attempts"]) == (
        "SUCCEEDED",
        12_000_000,
        True,
        1,
    )


def test_a_revoked_token_is_useless_and_lists_show_only_fingerprints(fresh: Hodei) -> None:
    token = fresh.ok("token", "create", "--ttl", "10m").text.strip()
    (listed,) = fresh.ok("token", "list", "--format", "json").json
    assert listed["state"] == "USABLE"
    assert token not in fresh.ok("token", "list").text
    assert (
        fresh.ok("token", "revoke", listed["token_id"]).text
        == f"token {listed['token_id']} is revoked\n"
    )
    assert fresh.run("token", "revoke", listed["token_id"]).code == 1
    assert UNIFORM in run_worker(fresh, fresh.folder / "w", token=token).stderr
    events = fresh.sql(
        "SELECT event_type, aggregate_id, correlation_id FROM domain_events ORDER BY id"
    )
    assert events == [
        (event, listed["token_id"], listed["token_id"])
        for event in ("TokenCreated", "TokenRevoked")
    ]


def test_worker_run_is_the_worker(fresh: Hodei) -> None:
    environment = {"HODEI_OTP_TOKEN": fresh.token(), "HODEI_SERVER_ADDRESS": fresh.addresses[1]}
    argv = [
        "hodei.cli.main",
        "worker",
        "run",
        "--state-dir",
        str(fresh.folder / "w"),
        "--on-worker-exit",
        "kill",
        "--name",
        "by hodei",
    ]
    part = fresh.stack.start("worker", argv, environment)
    Stack.await_words(part, "connected to")
    (listed,) = fresh.ok("worker", "list", "--format", "json").json
    assert (listed["name"], listed["state"], listed["slots"]) == ("by hodei", "READY", 4)
