"""Several servers on one database, and how one starts, waits, refuses and stops."""

import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hodei.local.embedded_postgres import EmbeddedPostgres, free_port
from hodei.local.stack import Stack
from hodei.protocol import hodei_pb2, hodei_pb2_grpc
from tests.eventually import eventually
from tests.running import Hodei


def server(*flags: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    """A server that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "hodei.cli.server", *flags],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_a_job_from_any_server_runs_wherever_the_worker_is_and_all_works_from_each(
    hodei: Hodei,
) -> None:
    """The worker is connected to one of the two; each in turn creates, tells, follows and
    cancels."""
    for index in (0, 1):
        job_id = hodei.submit("--command", "echo from anywhere", server=index)
        assert hodei.ok("job", "logs", "-f", job_id, server=1 - index).text == "from anywhere\n"
        assert hodei.job(job_id, server=index)["state"] == "SUCCEEDED"
        running = hodei.submit("--command", "sleep 60", server=index)
        hodei.until(running, "RUNNING")
        assert hodei.job(running, server=index)["state"] == "RUNNING"
        hodei.ok("job", "cancel", running, server=1 - index)
        hodei.ok("job", "logs", "-f", running, server=index)
        assert hodei.job(running)["state"] == "CANCELLED"
        assert hodei.ok("status", "--format", "json", server=index).json["servers"] == 2


def test_a_queued_job_is_cancelled_at_once(hodei: Hodei) -> None:
    job_id = hodei.submit("--label", "never=there", "--command", "true")
    assert hodei.ok("job", "cancel", job_id).text == f"job {job_id} is CANCELLED\n"
    again = hodei.run("job", "cancel", job_id)
    assert again.code == 125
    assert again.err == f"Error: job {job_id} is already CANCELLED: a final state never changes\n"


def test_health_and_reflection_answer(hodei: Hodei) -> None:
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        assert (
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status
            == health_pb2.HealthCheckResponse.SERVING
        )
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = next(
            iter(
                reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                    iter([request])
                )
            )
        )
    names = {service.name for service in answer.list_services_response.service}
    assert {
        "hodei.v1.WorkerService",
        "hodei.v1.JobService",
        "hodei.v1.FleetService",
        "grpc.health.v1.Health",
    } <= names


def test_every_connection_is_named(hodei: Hodei) -> None:
    rows = hodei.sql(
        """
        SELECT DISTINCT application_name
        FROM pg_stat_activity
        WHERE datname = current_database()
          AND pid <> pg_backend_pid()
        """
    )
    assert rows
    assert all(name.startswith("hodei") for (name,) in rows), rows


def test_a_port_that_is_taken_is_refused(hodei: Hodei) -> None:
    ran = server("--database-url", hodei.url, "--grpc", hodei.addresses[0])
    assert ran.returncode == 1
    assert f"Error: cannot listen on {hodei.addresses[0]}" in ran.stderr


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (
            ["--database-url", "postgres://x", "--grpc", "0.0.0.0:50999"],
            2,
            "--grpc 0.0.0.0:50999: beyond loopback the connection needs TLS; add --tls-cert and "
            "--tls-key (`hodei tls init` makes them), or --insecure for plain text",
        ),
        (
            ["--database-url", "postgres://x", "--grpc", "nowhere"],
            2,
            "--grpc: expected HOST:PORT, got 'nowhere'",
        ),
        (
            ["--database-url", "postgres://x", "--log-level", "loud"],
            2,
            "log level: expected one of",
        ),
        (
            ["--database-url", "", "--grpc", "127.0.0.1:0"],
            2,
            "--database-url: expected a value, got an empty one",
        ),
        (
            ["--database-url", "postgres://x", "--loopback-role", ""],
            2,
            "--loopback-role: ",
        ),
    ],
)
def test_bad_settings_get_one_clear_message(flags: list[str], code: int, words: str) -> None:
    ran = server(*flags)
    assert (ran.returncode, words in ran.stderr) == (code, True), ran.stderr


def test_a_wrong_password_ends_the_start_with_words(hodei: Hodei) -> None:
    password = hodei.url.split(":")[2].split("@", maxsplit=1)[0]
    ran = server(
        "--database-url", hodei.url.replace(password, "wrong"), "--grpc", f"127.0.0.1:{free_port()}"
    )
    assert ran.returncode == 1
    assert "Error: the database refuses this server" in ran.stderr
    assert "password authentication failed" in ran.stderr
    assert "wrong@" not in ran.stderr


def test_a_schema_newer_than_the_program_is_refused(fresh: Hodei) -> None:
    fresh.sql("UPDATE hodei_schema SET version = 99")
    ran = server("--database-url", fresh.url, "--grpc", f"127.0.0.1:{free_port()}")
    assert ran.returncode == 1
    assert "version 99.6, newer than this program's 1.6: upgrade Hodei" in ran.stderr


def test_it_waits_for_a_database_that_is_down_and_goes_on_when_it_comes(
    open_folder: Path, tmp_path: Path
) -> None:
    with EmbeddedPostgres(open_folder / "pg", durable=False) as database:
        url = database.dsn()
        database.stop()
        with Stack(tmp_path / "logs") as stack:
            part = stack.start(
                "server",
                ["hodei.cli.server", "--grpc", f"127.0.0.1:{free_port()}"],
                {"DATABASE_URL": url},
            )
            Stack.await_words(part, "waiting for the database")
            database.start()
            Stack.await_words(part, "hodei-server is ready")
            with psycopg.connect(url) as conn:
                assert conn.execute("SELECT version FROM hodei_schema").fetchone() == (1,)


def test_several_may_start_at_once_on_an_empty_database(
    empty_database_url: str, tmp_path: Path
) -> None:
    with Stack(tmp_path) as stack:
        parts = [
            stack.start(
                f"server-{n}",
                ["hodei.cli.server", "--grpc", f"127.0.0.1:{free_port()}"],
                {"DATABASE_URL": empty_database_url},
            )
            for n in range(4)
        ]
        for part in parts:
            Stack.await_words(part, "hodei-server is ready")
        applied = [
            part.name for part in parts if "applied schema version 1" in part.log.read_text()
        ]
        assert len(applied) == 1


def test_a_start_does_not_wait_for_a_busy_queue(hodei: Hodei, tmp_path: Path) -> None:
    """A transaction that holds locks on every table of the queue does not stall a start: it only
    reads."""
    with psycopg.connect(hodei.url) as busy, Stack(tmp_path) as stack:
        busy.execute("LOCK TABLE jobs, job_queue, leases, workers IN ROW EXCLUSIVE MODE")
        begun = time.monotonic()
        stack.server("another", hodei.url)
        assert time.monotonic() - begun < 20


def test_sigterm_sends_workers_elsewhere_and_disturbs_no_job(fresh: Hodei) -> None:
    fresh.stack.worker("worker", ",".join(fresh.addresses), fresh.folder / "w", fresh.token())
    job_id = fresh.submit("--command", "for n in 1 2 3 4 5 6; do echo $n; sleep 0.4; done")
    fresh.until(job_id, "RUNNING")
    holder = fresh.holder()
    part = fresh.stack.parts[holder]
    part.process.send_signal(signal.SIGTERM)
    assert part.process.wait(10) == 0
    assert fresh.ok("job", "logs", "-f", job_id, server=1 - holder).text == "1\n2\n3\n4\n5\n6\n"
    job = fresh.job(job_id, server=1 - holder)
    assert (job["state"], job["attempts"], job["logs_complete"]) == ("SUCCEEDED", 1, True)
    assert fresh.ok("job", "run", "--command", "echo next", server=1 - holder).text == "next\n"


def test_a_second_signal_ends_at_once(fresh: Hodei) -> None:
    """A follower keeps the drain waiting for its call; the second SIGTERM does not wait."""
    job_id = fresh.submit("--label", "never=there", "--command", "true")
    with grpc.insecure_channel(fresh.addresses[0]) as channel:
        stream = hodei_pb2_grpc.JobServiceStub(channel).ReadLogs(
            hodei_pb2.ReadLogsRequest(job_id=job_id, follow=True)
        )
        part = fresh.stack.parts[0]
        time.sleep(0.3)
        part.process.send_signal(signal.SIGTERM)
        eventually(lambda: "draining" in part.log.read_text())
        time.sleep(0.5)
        assert not part.ended
        part.process.send_signal(signal.SIGTERM)
        assert part.process.wait(8) == 0
        stream.cancel()


def test_a_killed_server_loses_nothing(fresh: Hodei) -> None:
    fresh.stack.worker("worker", ",".join(fresh.addresses), fresh.folder / "w", fresh.token())
    job_id = fresh.submit("--command", "for n in 1 2 3 4 5 6; do echo $n; sleep 0.4; done")
    fresh.until(job_id, "RUNNING")
    holder = fresh.holder()
    fresh.stack.parts[holder].process.kill()
    assert fresh.ok("job", "logs", "-f", job_id, server=1 - holder).text == "1\n2\n3\n4\n5\n6\n"
    job = fresh.job(job_id, server=1 - holder)
    assert (job["state"], job["attempts"], job["logs_complete"]) == ("SUCCEEDED", 1, True)


def test_a_follower_goes_on_through_another_server(fresh: Hodei) -> None:
    fresh.stack.worker("worker", fresh.addresses[1], fresh.folder / "w", fresh.token())
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "hodei.cli.main",
            "--server",
            ",".join(fresh.addresses),
            "job",
            "run",
            "--command",
            "for n in 1 2 3 4 5; do echo $n; sleep 0.4; done; exit 7",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "1\n"
    fresh.stack.parts[0].process.kill()
    out, err = process.communicate(timeout=30)
    assert (out, process.returncode) == ("2\n3\n4\n5\n", 7)
    assert "the server went away" in err


def test_a_call_that_nobody_answers_says_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        ran = subprocess.run(
            [sys.executable, "-m", "hodei.cli.main", "--server", address, "status"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ran.returncode == 125
    assert (
        ran.stderr
        == f"Error: no server answers at {address}: start one with `hodei-server`, or everything with `hodei dev`\n"
    )


def test_an_unknown_job_and_an_invalid_id_are_named(hodei: Hodei) -> None:
    nobody = str(uuid.uuid4())
    for command in (["get"], ["cancel"], ["logs"], ["logs", "-f"], ["timeline"]):
        ran = hodei.run("job", *command, nobody)
        assert (ran.code, ran.err) == (125, f"Error: no job {nobody}\n"), command
        bad = hodei.run("job", *command, "7")
        assert bad.code == 2
        assert (
            "ID: expected a UUID, its first 6 or more characters, or its last 8 or more, got '7'"
            in bad.err
        )
