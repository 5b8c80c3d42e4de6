"""The number of a process that has ended may be another's soon: 32,768 are in use on many hosts."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.eventually import eventually, gone
from tests.hosts import running
from tests.running import Hodei
from tests.worker.test_containment import is_in_journal
from tests.worker_process import Worker, supervisors

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
"""The kernel gives the next process the number behind it, if that is free."""

LEAVES_ONE = (
    "(env -i /usr/bin/setsid /bin/sh -c 'trap \"\" TERM; exec sleep 300' &); sleep 0.3; echo $$"
)


only_root = pytest.mark.skipif(
    not os.access(LAST_PID, os.W_OK) or os.geteuid() != 0, reason="only root can"
)


@contextmanager
def stranger_of(pid: int, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of nobody's job that has this number, and leads a group of its own."""
    for _ in range(100):
        LAST_PID.write_text(str(pid - 1))
        stranger = subprocess.Popen(
            command or ["sleep", "300"], start_new_session=True, stdout=subprocess.PIPE
        )
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


@only_root
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


SESSION = "env -i /usr/bin/setsid /bin/sleep 300 & echo $!; wait; exec sleep 300"


def began_a_session(worker: Worker) -> tuple[str, int]:
    """A job that runs, and the number of a session whose only process has ended, after a look."""
    job_id = worker.submit(SESSION, on_lost="fail")
    leader = int(worker.wrote(job_id, "\n"))
    eventually(lambda: is_in_journal(worker, leader))
    os.kill(leader, signal.SIGKILL)
    eventually(lambda: gone(leader))
    return job_id, leader


@only_root
def test_who_has_the_number_of_a_session_of_a_dead_supervisors_job_is_not_killed(
    host_system: Hodei,
) -> None:
    """A daemon: the leader of its session has ended, too."""
    with contextmanager(running)(host_system, "root-in-bare", "daemon") as worker:
        job_id, leader = began_a_session(worker)
        with stranger_of(leader, "sh", "-c", "sleep 300 >/dev/null & echo $!") as stranger:
            assert stranger.stdout
            daemon = int(stranger.stdout.read())
            stranger.wait()
            try:
                os.kill(supervisors(worker.state)[0], signal.SIGKILL)
                assert worker.ended(job_id).reason == "WORKER_LOST"
                assert not gone(daemon)
            finally:
                os.kill(daemon, signal.SIGKILL)


DAEMON_IN = """
for n in $(seq 100); do
    echo $(({leader} - 1)) >{last_pid}
    env -i /usr/bin/setsid /bin/sh -c '/bin/sleep {seconds} & echo $! >&3' 3>{told} >/dev/null &
    test $! = {leader} && break
    wait
    kill $(cat {told})
done
wait; echo up; sleep 300
"""
"""The job's daemon is in a session of that number, whose leader has ended."""


@only_root
def test_another_jobs_process_in_a_session_of_the_same_number_is_not_killed(
    host_system: Hodei,
) -> None:
    with contextmanager(running)(host_system, "root-in-bare", "neighbour") as worker:
        job_id, leader = began_a_session(worker)
        time.sleep(1.2)  # two looks
        told = worker.state.with_name("told")
        daemon_in = DAEMON_IN.format(leader=leader, last_pid=LAST_PID, told=told, seconds=300)
        other = worker.submit(daemon_in)
        worker.wrote(other, "up")
        daemon = int(told.read_text())
        assert os.getsid(daemon) == leader
        worker.cancel(job_id)
        assert worker.ended(job_id).state == "CANCELLED"
        assert not gone(daemon)


@only_root
def test_an_orphan_whose_leader_has_ended_goes_with_its_dead_supervisors_job(
    host_system: Hodei,
) -> None:
    """No look sees it while its parent lives, and it has no marks."""
    with contextmanager(running)(host_system, "root-in-bare", "orphan") as worker:
        forks = "sleep 1.2; /bin/sleep 300 & echo $!"
        job_id = worker.submit(
            f"env -i /usr/bin/setsid /bin/sh -c '{forks}'; sleep 300", on_lost="fail"
        )
        orphan = int(worker.wrote(job_id, "\n"))
        eventually(lambda: is_in_journal(worker, orphan))
        os.kill(supervisors(worker.state)[0], signal.SIGKILL)
        assert worker.ended(job_id).reason == "WORKER_LOST"
        assert gone(orphan)
