"""The number of a process that has ended may be another's soon: 32,768 are in use on many hosts."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.eventually import eventually, gone
from tests.hosts import running
from tests.running import Hodei

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
"""The kernel gives the next process the number behind it, if that is free."""

LEAVES_ONE = (
    "(env -i /usr/bin/setsid /bin/sh -c 'trap \"\" TERM; exec sleep 300' &); sleep 0.3; echo $$"
)


@contextmanager
def stranger_of(pid: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of nobody's job that has this number, and leads a group of its own."""
    for _ in range(100):
        LAST_PID.write_text(str(pid - 1))
        stranger = subprocess.Popen(["sleep", "300"], start_new_session=True)
        if stranger.pid == pid:
            break
        stranger.kill()
        stranger.wait()
    try:
        assert stranger.pid == pid
        yield stranger
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.skipif(not os.access(LAST_PID, os.W_OK) or os.geteuid() != 0, reason="only root can")
@pytest.mark.parametrize("kind", ["root-in-bare", "job-user-in-bare", "job-user"])
def test_who_has_the_number_of_a_job_that_left_processes_is_not_killed(
    host_system: Hodei, kind: str
) -> None:
    with contextmanager(running)(host_system, kind, "again") as worker:
        job_id = worker.submit(LEAVES_ONE, grace=3)
        pid = int(worker.wrote(job_id, "\n"))
        eventually(lambda: gone(pid))
        with stranger_of(pid) as stranger:
            job = worker.ended(job_id)
            assert (job.state, job.leftover) == ("SUCCEEDED", 1), job
            assert stranger.poll() is None
