"""PostgreSQL restarts, fails over, kills sessions, hides behind a pooler; servers wait and go on by
themselves."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from hodei.local import child
from hodei.local.embedded_postgres import EmbeddedPostgres, free_port, unprivileged_user
from hodei.local.stack import Stack
from hodei.store.database import NO_CONNECTION
from tests.conftest import SCHEMA
from tests.eventually import eventually
from tests.local_pgbouncer import PgBouncer
from tests.running import Hodei, start
from verify.checker import violations


def server_of(url: str) -> SimpleNamespace:
    parts = urlsplit(url)
    return SimpleNamespace(
        user=parts.username,
        password=unquote(parts.password or ""),
        host=parts.hostname,
        port=parts.port,
    )


@pytest.fixture
def own_postgres(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(open_folder / "pg") as server:
        yield server


def steady(hodei: Hodei, jobs: int) -> None:
    hodei.sql(
        """
        SELECT hodei_enqueue(jsonb_build_object('command', 'sleep 0.2; echo ' || n))
        FROM generate_series(1, %s) n
        """,
        jobs,
    )


def test_a_restart_of_the_database_under_load_loses_no_job_and_runs_none_twice(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    hodei = start(server_of(own_postgres.dsn()), tmp_path)
    try:
        hodei.stack.worker("worker", ",".join(hodei.addresses), tmp_path / "w", hodei.token())
        steady(hodei, 60)
        time.sleep(0.8)
        hodei.conn.close()
        own_postgres.stop()
        time.sleep(3)
        own_postgres.start()
        hodei.conn = psycopg.connect(hodei.url, autocommit=True, options="-c timezone=UTC")
        eventually(
            lambda: hodei.sql("SELECT count(*) FROM jobs WHERE state = 'SUCCEEDED'") == [(60,)], 60
        )
        assert violations(hodei.conn, undisturbed=True) == []
        assert hodei.sql("SELECT count(*) FROM jobs WHERE logs_complete IS NOT TRUE") == [(0,)]
    finally:
        hodei.stack.stop()
        hodei.conn.close()


def test_sessions_terminated_at_random_disturb_nobody(fresh: Hodei) -> None:
    fresh.stack.worker("worker", ",".join(fresh.addresses), fresh.folder / "w", fresh.token())
    steady(fresh, 60)
    for _ in range(6):
        time.sleep(0.4)
        fresh.sql("""
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'hodei-server%'""")
    eventually(
        lambda: fresh.sql("SELECT count(*) FROM jobs WHERE state = 'SUCCEEDED'") == [(60,)], 60
    )
    assert violations(fresh.conn, undisturbed=True) == []


def test_the_main_path_through_a_transaction_pooler(fresh: Hodei) -> None:
    """Rule 11: nothing is kept in a session; only the listener goes past it."""
    with PgBouncer(fresh.url) as pooler:
        address = fresh.stack.server(
            "pooled",
            pooler.url,
            environment={"HODEI_LISTEN_URL": fresh.url, "HODEI_PREPARE": "false"},
        )
        for part in fresh.stack.parts[:2]:
            Stack.stop_part(part)
        fresh.addresses = [address]
        fresh.stack.worker("worker", address, fresh.folder / "w", fresh.token())
        assert (
            fresh.ok("job", "run", "--command", "echo pooled; yes | head -c 300000").out
            == b"pooled\n" + b"y\n" * 150_000
        )
        steady(fresh, 100)
        eventually(
            lambda: fresh.sql("SELECT count(*) FROM jobs WHERE state = 'SUCCEEDED'") == [(101,)], 60
        )
        running = fresh.submit("--command", "sleep 60")
        fresh.until(running, "RUNNING")
        fresh.ok("job", "cancel", running)
        assert fresh.finish(running)["state"] == "CANCELLED"
        assert violations(fresh.conn) == []
        fresh.stack.stop()


def test_when_all_connections_are_taken_callers_are_told_and_the_rest_goes_on(fresh: Hodei) -> None:
    """Every job creation hangs behind a lock: the pool is exhausted, callers get one clear answer,
    and when it is over all goes on."""
    fresh.stack.worker("worker", ",".join(fresh.addresses), fresh.folder / "w", fresh.token())
    gate = fresh.folder / "gate"
    running = fresh.submit("--command", f"until [ -e {gate} ]; do sleep 0.1; done; echo done")
    fresh.until(running, "RUNNING")
    with psycopg.connect(fresh.url) as busy:
        busy.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        calls = [
            fresh.stack.start(
                f"call-{n}",
                ["hodei.cli.main", "--server", fresh.addresses[0], "job", "get", running],
            )
            for n in range(12)
        ]
        for call in calls:
            assert call.process.wait(60) == 125
            assert "the database" in call.log.read_text()
            fresh.stack.parts.remove(call)
    gate.touch()
    assert fresh.finish(running)["state"] == "SUCCEEDED"
    assert fresh.ok("job", "run", "--command", "echo on").text == "on\n"
    assert fresh.sql(
        """
        SELECT count(*)
        FROM domain_events
        WHERE payload->>'new_status' IN ('Unreachable', 'Terminated')
        """
    ) == [(0,)]


def refuses(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return True
    return False


KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'hodei%'"


def test_why_no_connection_can_be_made_is_said_once_and_callers_learn_no_host(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """pg_hba.conf begins to refuse under a running server. The job that runs meanwhile ends well."""
    hodei = start(server_of(own_postgres.dsn()), tmp_path, servers=1)
    rules = own_postgres.data / "pg_hba.conf"
    before = rules.read_text()
    try:
        hodei.stack.worker("worker", hodei.addresses[0], tmp_path / "w", hodei.token())
        gate = tmp_path / "gate"
        job_id = hodei.submit("--command", f"until [ -e {gate} ]; do sleep 0.1; done")
        hodei.until(job_id, "RUNNING")
        rules.write_text("host all all all reject\n")
        os.kill(own_postgres.pid or 0, signal.SIGHUP)
        eventually(lambda: refuses(hodei.url))
        hodei.sql(KILL)
        words = hodei.run("job", "get", job_id).err
        assert words == f"Error: {NO_CONNECTION}\n"
        log = hodei.log("server-0")
        assert log.count("no connection to the database can be made: ") == 1, log
        assert "couldn't get a connection" not in log
        assert "no database that can be written answers: not serving" in log
        rules.write_text(before)
        os.kill(own_postgres.pid or 0, signal.SIGHUP)
        gate.touch()
        assert (job := hodei.finish(job_id))["state"] == "SUCCEEDED", job
        assert job["attempts"] == 1
    finally:
        hodei.stack.stop()
        hodei.conn.close()


# ── failover ──


class Standby:
    """A synchronous standby of `primary`, made by pg_basebackup; skipped where the programs are not
    there."""

    def __init__(self, primary: EmbeddedPostgres, folder: Path) -> None:
        if not (primary.programs / "pg_basebackup").exists():
            pytest.skip("no pg_basebackup on this machine")
        self._programs, self.folder, self.port = primary.programs, folder, free_port()
        self._primary = primary
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Standby":
        with psycopg.connect(self._primary.dsn(), autocommit=True) as conn:
            conn.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self._copied()
        argv = self._argv()
        log = os.open(self.folder.parent / "standby.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
        )
        os.close(log)
        with psycopg.connect(self._primary.dsn(), autocommit=True) as conn:
            conn.execute("SELECT pg_reload_conf()")
            eventually(
                lambda: (
                    conn.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
                    == [("sync",)]
                ),
                30,
            )
        return self

    def _copied(self) -> None:
        user = unprivileged_user()
        as_user: dict[str, Any] = (
            {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        )
        url = f"{self._primary.dsn()}?application_name=standby"
        command = [str(self._programs / "pg_basebackup"), "-D", str(self.folder), "-d", url]
        command += ["-R", "-X", "stream", "-c", "fast"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **as_user)

    def _argv(self) -> list[str]:
        """PostgreSQL on the copy, as a user that it takes, and dying with us."""
        argv = [str(self._programs / "postgres"), "-D", str(self.folder)]
        for setting in (
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
        ):
            argv += ["-c", setting]
        user = unprivileged_user()
        if user is None:
            return child.wrapped(argv)
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
        return ["setpriv", *ids, "--clear-groups", "--pdeathsig=INT", *argv]

    def promote(self) -> None:
        with psycopg.connect(
            self._primary.dsn().replace(f":{self._primary.port}", f":{self.port}"), autocommit=True
        ) as conn:
            conn.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            conn.execute("SELECT pg_reload_conf()")
            conn.execute("SELECT pg_promote()")

    def __exit__(self, *exc: object) -> None:
        if self._process:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
            self._process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.slow
def test_a_synchronous_standby_is_promoted_under_load(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with psycopg.connect(own_postgres.dsn(), autocommit=True) as conn:
        conn.execute(SCHEMA.read_text().encode())
    with Standby(own_postgres, own_postgres.base / "standby") as standby:
        base = own_postgres.dsn().replace(
            f"127.0.0.1:{own_postgres.port}",
            f"127.0.0.1:{own_postgres.port},127.0.0.1:{standby.port}",
        )
        url = f"{base}?target_session_attrs=read-write"
        stack = Stack(tmp_path / "logs")
        try:
            addresses = [stack.server(f"server-{n}", url) for n in (0, 1)]
            with psycopg.connect(url, autocommit=True) as conn:
                token = conn.execute(
                    "INSERT INTO worker_bootstrap_tokens DEFAULT VALUES RETURNING token"
                ).fetchone()
                stack.worker(
                    "worker", ",".join(addresses), tmp_path / "w", str(token[0]) if token else None
                )
                conn.execute(
                    """
                    SELECT hodei_enqueue(jsonb_build_object('command', 'sleep 0.3; echo ' || n))
                    FROM generate_series(1, 80) n
                    """
                )
            time.sleep(1.5)
            own_postgres.stop()
            standby.promote()
            begun = time.monotonic()
            with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as conn:
                eventually(
                    lambda: (
                        conn.execute(
                            "SELECT count(*) FROM jobs WHERE state = 'SUCCEEDED'"
                        ).fetchall()
                        == [(80,)]
                    ),
                    90,
                )
                print(f"all ended {time.monotonic() - begun:.1f} s after the promotion")
                assert violations(conn, undisturbed=True) == []
        finally:
            stack.stop()
