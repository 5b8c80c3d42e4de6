"""A worker's life: its settings, its one identity, its drain, its death and its return."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg
import pytest

from hodei.local.embedded_postgres import free_port
from hodei.local.stack import Stack
from tests.end_to_end.lone_worker import run_worker, worker_id
from tests.eventually import eventually
from tests.running import Hodei


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


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_closed_standard_streams_are_no_other_files(fresh: Hodei, log_format: str) -> None:
    """gRPC's core would write into the worker's lock file, or into the supervisor's socket."""
    address = f"127.0.0.1:{free_port()}"
    state = fresh.folder / "closed"
    token = fresh.token()

    def start(*argv: str, **own: str) -> subprocess.Popen[bytes]:
        closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", *argv]
        said = {"HODEI_LOG_FORMAT": log_format, "GRPC_VERBOSITY": "debug"}
        return subprocess.Popen(closed, env=os.environ | said | own)

    server = start("hodei.cli.server", "--grpc", address, DATABASE_URL=fresh.url)
    flags = ("--server", address, "--state-dir", str(state))
    worker = start("hodei_worker", *flags, HODEI_OTP_TOKEN=token)
    try:
        assert fresh.finish(fresh.submit("--command", "true"))["state"] == "SUCCEEDED"
        for process in (server, worker):
            streams = Path(f"/proc/{process.pid}/fd")
            assert {str((streams / name).readlink()) for name in "012"} == {"/dev/null"}
        assert (state / "lock").read_text().strip() == str(worker.pid)
    finally:
        for process in (worker, server):
            process.terminate()
            assert process.wait(30) == 0
