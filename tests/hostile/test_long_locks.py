"""Somebody's transaction holds rows for longer than a worker may be silent and a job may run. When it
ends, nobody is judged by what could not be written meanwhile."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import LiteralString

import psycopg
import pytest

from tests.running import Hodei, start

pytestmark = pytest.mark.slow

LOCK_S = 62.0
"""More than --lost-after, and than each job's limit and 30 s and its grace."""


@pytest.fixture
def one(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Hodei]:
    running = start(pg_server, tmp_path, servers=0)
    flags = ("--loopback-role", "admin", "--lost-after", "45")
    running.addresses.append(running.stack.server("server-0", running.url, 0, *flags))
    running.stack.worker("worker", running.addresses[0], tmp_path / "w", running.token())
    yield running
    running.stack.stop()
    running.conn.close()


@pytest.mark.parametrize(
    "lock",
    [
        "SELECT FROM workers FOR UPDATE",
        "SELECT FROM jobs CROSS JOIN leases FOR UPDATE",
        "LOCK TABLE jobs, job_logs, domain_events IN SHARE MODE",
    ],
    ids=["workers", "jobs", "as indexes are built"],
)
def test_jobs_outlive_a_lock(one: Hodei, lock: LiteralString) -> None:
    gate = one.folder / "gate"
    runs = one.submit("--command", f"echo up; until [ -e {gate} ]; do sleep 0.1; done")
    talks = one.submit(
        *("--silence-timeout", "10", "--grace", "0", "--command"),
        f"until [ -e {gate} ]; do echo word; sleep 0.5; done",
    )
    ends = one.submit("--timeout", "10", "--grace", "0", "--command", "echo up; sleep 6")
    for job_id in (runs, talks, ends):
        one.wrote(job_id)
    with psycopg.connect(one.url) as somebody:
        somebody.execute(lock)
        time.sleep(LOCK_S)
    time.sleep(25)
    gate.touch()
    one.all_succeeded([runs, talks, ends])
    assert one.sql("SELECT attempts, logs_complete FROM jobs") == [(1, True)] * 3
