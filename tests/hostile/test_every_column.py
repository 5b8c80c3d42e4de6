"""Each column of each table is set by hand to the ends of its type, the constraints of ours dropped
before: the programs go on, every command answers, and the log has no line for each look."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import grpc
import psycopg
import pytest

from hodei.domain import api_key
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.hostile.odd_values import odd_values
from tests.running import Hodei, start

COMMANDS = (
    "job list --limit 1000",
    "job list --limit 1000 --format json",
    "status",
    "status --format json",
    "worker list --all",
    "worker list --all --format json",
    "audit --limit 1000",
    "audit --limit 1000 --format json",
    "secret list",
    "secret list --format json",
    "provider list",
    "provider list --format json",
    "token list",
    "token list --format json",
    "apikey list --format json",
    "project list",
    "db check",
)
OURS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', c.conrelid::regclass, c.conname)
FROM pg_constraint c
WHERE c.contype = 'c' AND c.coninhcount = 0 AND c.connamespace = current_schema()::regnamespace
"""
"""CHECKs: a hand drops them to write words of its own."""


@pytest.fixture(scope="module")
def system(pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hodei]:
    """A server with a key for secrets, and its worker; without our CHECKs."""
    folder = tmp_path_factory.mktemp("odd")
    key = folder / "secret-key"
    key.write_text(os.urandom(32).hex() + "\n")
    key.chmod(0o600)
    running = start(pg_server, folder, servers=0)
    flags = ("--secret-key-file", str(key), "--loopback-role", "admin")
    running.addresses.append(running.stack.server("server-0", running.url, 0, *flags))
    worker = (running.addresses[0], folder / "w", running.token(), "--slots", "4")
    running.stack.worker("worker", *worker)
    for (drop,) in running.sql(OURS):
        running.sql(drop)
    yield running
    running.stack.stop()
    running.conn.close()


@dataclass
class Row:
    """Makes a row and returns its key, and the condition that finds it."""

    make: str
    where: str


JOB = "SELECT hodei_enqueue(jsonb_build_object('name', 'odd', 'command', 'true'))::text"
ROWS = {
    "jobs": Row(JOB, "id = %s"),
    "job_queue": Row(JOB, "job_id = %s"),
    "workers": Row(
        "INSERT INTO workers (id, name, state, last_heartbeat, slots)"
        " VALUES (gen_random_uuid(), 'odd', 'READY', now(), 4) RETURNING id",
        "id = %s",
    ),
    "worker_bootstrap_tokens": Row(
        "INSERT INTO worker_bootstrap_tokens DEFAULT VALUES RETURNING token", "token = %s"
    ),
    "domain_events": Row(
        "INSERT INTO domain_events"
        " (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)"
        " VALUES (now(), 'WorkerDrained', 'x', 'x', 'x', '{}') RETURNING id",
        "id = %s",
    ),
    "job_logs": Row(
        'WITH j AS (SELECT hodei_enqueue(\'{"command": "true"}\') AS id)'
        " INSERT INTO job_logs (job_id, lease, seq, attempt, stream, byte_offset, first_line,"
        " read_at, data) SELECT j.id, 1, 0, 1, 1, 0, 1, now(), 'odd' FROM j RETURNING job_id",
        "job_id = %s",
    ),
    "api_keys": Row(
        "INSERT INTO api_keys (id, name, role, secret_sha256, revoked_at)"
        " VALUES (left(md5(random()::text), 12), 'odd', 'viewer', sha256('x'), now())"
        " RETURNING id",
        "id = %s",
    ),
    "project_grants": Row(
        "INSERT INTO project_grants (role, project)"
        " VALUES (gen_random_uuid()::text, 'odd') RETURNING role",
        "role = %s",
    ),
    "secrets": Row(
        "INSERT INTO secrets (project, name, version, key_id, sealed)"
        " VALUES ('odd', gen_random_uuid()::text, 1, 'x', 'x') RETURNING name",
        "name = %s",
    ),
    "provider_configs": Row(
        "INSERT INTO provider_configs (name, provider_type) VALUES ('odd', 'Docker') RETURNING id",
        "id = %s",
    ),
    "hodei_servers": Row(
        "INSERT INTO hodei_servers (id) VALUES (gen_random_uuid()) RETURNING id", "id = %s"
    ),
}


def put(hodei: Hodei, table: str) -> list[Any]:
    """Sets each value into a row of its own, and returns the keys of those that PostgreSQL took."""
    keys = []
    for column, value in odd_values(table):
        ((key,),) = hodei.sql(ROWS[table].make)
        try:
            hodei.sql(f"UPDATE {table} SET {column} = {value} WHERE {ROWS[table].where}", key)
            keys.append(key)
        except psycopg.Error:
            hodei.sql(f"DELETE FROM {table} WHERE {ROWS[table].where}", key)
    return keys


def check_commands(hodei: Hodei) -> None:
    for command in COMMANDS:
        of_database = command.startswith("db ")
        ran = hodei.run(*command.split(), *(["--database-url", hodei.url] if of_database else []))
        assert ran.code == 0 or (of_database and ran.code == 1), (command, ran.err[:2000])
        assert not set(ran.text) & {"\x01", "\x1b", "\r", "\u202e"}, command


def check_logs(hodei: Hodei, marks: dict[str, int], most: int) -> None:
    for name, mark in marks.items():
        log = hodei.log(name)[mark:]
        before, found, after = log.partition("Traceback")
        assert not found, before[-500:] + after[:3000]
        lines = [line for line in log.splitlines() if " INFO " not in line]
        assert len(lines) <= most, "\n".join(lines)[:5000]
        assert max([len(line) for line in lines], default=0) < 10_000


def check_shown(hodei: Hodei, job_ids: list[str]) -> None:
    """Each call about one job is answered, or refused in words."""
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        for job_id in job_ids:
            reference = pb.JobRef(job_id=job_id)
            for call in (jobs.GetJob, jobs.GetTimeline, jobs.GetAttempts):
                try:
                    call(reference, timeout=20)
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.NOT_FOUND, error
            try:
                list(jobs.ReadLogs(pb.ReadLogsRequest(job_id=job_id), timeout=20))
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND, error


def drained(hodei: Hodei, *undo: str) -> None:
    ((worker_id,),) = hodei.sql("SELECT id::text FROM workers WHERE connected AND version <> ''")
    hodei.ok("worker", "drain", *undo, worker_id)


@pytest.mark.parametrize("table", ROWS)
def test_each_value_costs_its_own_row(table: str, system: Hodei) -> None:
    marks = {name: len(system.log(name)) for name in ("server-0", "worker")}
    is_of_jobs = table in ("jobs", "job_queue", "job_logs")
    if is_of_jobs:
        drained(system)
    keys = put(system, table)
    assert keys
    if is_of_jobs:
        drained(system, "--undo")
    system.all_succeeded([system.submit("--command", "true") for _ in range(3)])
    check_commands(system)
    time.sleep(3)  # looks of the sweeper
    system.all_succeeded([system.submit("--command", "true")])
    if is_of_jobs:
        check_shown(system, [str(key) for key in keys])
    check_logs(system, marks, 20 + 2 * len(keys))
    system.sql("DELETE FROM workers WHERE version = '' OR NOT connected")  # else each goes silent
    assert [part.name for part in system.stack.parts if part.ended] == []


def test_a_key_that_a_hand_has_set_lets_in_or_is_refused(system: Hodei) -> None:
    make = "INSERT INTO api_keys (id, name, role, secret_sha256) VALUES (%s, 'odd', 'viewer', %s)"
    with grpc.insecure_channel(system.addresses[0]) as channel:
        fleet = hodei_pb2_grpc.FleetServiceStub(channel)
        for column, value in odd_values("api_keys"):
            key = api_key.make("viewer")
            system.sql(make, key.id, key.sha256)
            with suppress(psycopg.Error):
                system.sql(f"UPDATE api_keys SET {column} = {value} WHERE id = %s", key.id)
            said = (("authorization", f"Bearer {key.text}"),)
            try:
                fleet.GetStatus(pb.GetStatusRequest(), metadata=said, timeout=20)
            except grpc.RpcError as error:
                assert error.code() in REFUSALS, (column, value[:50], error)


REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED)
"""The latter: too many wrong keys in a second."""
