"""Whom jobs run as is said at a worker's start, in `worker list` and in `hodei status`."""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.eventually import eventually
from tests.hostile.worker import HostileWorker
from tests.hosts import JOB_USER, ORDINARY, ROOT, make
from tests.running import Hodei, start
from tests.worker_process import Worker

SAID = "jobs run as root on this host; use --job-user NAME to run them as another user"


@pytest.fixture
def system(pg_server: SimpleNamespace, tmp_path: Path) -> Any:
    running = start(pg_server, tmp_path, servers=1)
    yield running
    running.stack.stop()
    running.conn.close()


def listed(hodei: Hodei) -> dict[str, str | None]:
    found = hodei.ok("worker", "list", "--format", "json").json
    return {one["name"]: one["job_user"] for one in found}


@pytest.mark.skipif(not ROOT, reason="only root can start workers of these kinds")
def test_a_root_worker_says_so_and_others_say_whom(system: Hodei, hosts_folder: Path) -> None:
    users = ["root", "root", JOB_USER, ORDINARY]
    workers = [
        make(system, hosts_folder, "root", "a"),
        make(system, hosts_folder, "root", "b"),
        make(system, hosts_folder, "job-user"),
        make(system, hosts_folder, "ordinary"),
    ]
    known = dict(zip([worker.label for worker in workers], users, strict=True))
    try:
        for worker in workers:
            worker.up(system.token())
        assert listed(system) == known
        assert [SAID in worker.log for worker in workers] == [True, True, False, False]
        line = "jobs run as root on 2 workers: root-a, root-b"
        assert line in system.ok("status").text
        status = system.ok("status", "--format", "json").json
        assert status["root_workers"] == 2
        assert status["root_worker_names"] == ["root-a", "root-b"]
        rows = system.ok("worker", "list").text.splitlines()
        for label, user in known.items():
            assert any(label in row and f" {user} " in row for row in rows), rows
        restarted(workers[0], "--job-user", JOB_USER)
        assert "jobs run as root on 1 worker: root-b" in system.ok("status").text
    finally:
        for worker in workers:
            worker.stop()


def restarted(worker: Worker, *flags: str) -> None:
    worker.end()
    worker.flags = flags
    worker.up()


def test_a_worker_that_does_not_say_is_unknown_and_no_root(system: Hodei) -> None:
    with HostileWorker(system.addresses[0], system.token()):
        eventually(lambda: listed(system) == {"evil": None})
        assert " unknown " in system.ok("worker", "list").text
        assert "root" not in system.ok("status").text


def on_a_terminal(hodei: Hodei, columns: int, *arguments: str) -> str:
    """What stands on a terminal of that many columns."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "hodei.cli.main", "--server", hodei.addresses[0], *arguments]
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    done = subprocess.run(
        command,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment | {"TERM": "xterm"},
        check=False,
        timeout=60,
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65_536):
            shown += part
    except OSError:  # its other end is closed
        os.close(ours)
    assert done.returncode == 0, done
    return re.sub("\x1b\\[[0-9;]*m", "", shown.decode().replace("\r\n", "\n"))


def test_eighty_columns_show_whom_jobs_run_as(system: Hodei) -> None:
    token = system.token()
    labels = {"gpu": "a100", "zone": "b"}
    with HostileWorker(
        system.addresses[0], token, name="worker-a", labels=labels, job_user="hodei-job"
    ) as one:
        eventually(lambda: listed(system) == {"worker-a": "hodei-job"})
        narrow = on_a_terminal(system, 80, "worker", "list")
        for words in (one.id[-8:], "worker-a", "READY", "0/1", "hodei-job"):
            assert words in narrow, narrow
        assert max(map(len, narrow.splitlines())) <= 80
        assert len(narrow.splitlines()) == 2, "head and one row"
        assert "gpu=a100" in on_a_terminal(system, 140, "worker", "list")
