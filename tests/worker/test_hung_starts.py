"""Starts that hang, as in a network folder that is gone: on workers of each kind, with and without
cgroups. Here a program hangs because another process has a lease on its file (the kernel waits up
to 45 s for its holder), and a folder because its file system in user space does not answer."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.spawn import COUNT, MAY_HANG_S
from tests.eventually import eventually
from tests.hosts import running
from tests.hung import HungProgram
from tests.running import Hodei
from tests.worker_process import Worker, supervisors

SOON_S = 20.0
"""Less than the 45 s after which the kernel takes the lease away."""


def in_state(worker: Worker, jobs: list[str], state: str) -> Callable[[], bool]:
    asked = "SELECT count(*) FROM jobs WHERE id = ANY(%s::uuid[]) AND state = %s"
    return lambda: worker.hodei.sql(asked, jobs, state) == [(len(jobs),)]


def a_long_job(worker: Worker) -> str:
    job_id = worker.submit("echo up; exec sleep 1000")
    worker.wrote(job_id, "up")
    return job_id


def check_that_it_went_on(worker: Worker, job_id: str) -> None:
    """Whatever happened to its launcher. It is cancelled now."""
    assert worker.attempts(job_id) == ("RUNNING", 1)
    worker.cancel(job_id)
    assert worker.ended(job_id).state == "CANCELLED"


def test_jobs_behind_a_start_that_hangs_start_elsewhere(
    any_worker: Worker, hung: HungProgram
) -> None:
    first, *others = any_worker.submit_all([hung.command, *(f"echo {at}" for at in range(20))])
    for at, job_id in enumerate(others):
        job = any_worker.ended(job_id, SOON_S)
        assert (job.state, job.text, job.attempts) == ("SUCCEEDED", f"{at}\n", 1), job
    assert any_worker.attempts(first) == ("RUNNING", 1)
    assert not hung.ran.exists()
    hung.release()
    job = any_worker.ended(first)
    assert (job.state, job.text, job.attempts) == ("SUCCEEDED", "ran\n", 1), job


def test_all_launchers_hang(any_worker: Worker, hung: HungProgram) -> None:
    hang = []
    for _ in range(COUNT):
        hang.append(any_worker.submit(hung.command))
        eventually(in_state(any_worker, hang, "RUNNING"))
        time.sleep(2 * MAY_HANG_S)  # else it could be sent behind the one before
    for job_id in any_worker.submit_all(["echo up"] * 5):
        job = any_worker.ended(job_id, SOON_S)
        assert (job.state, job.text, job.attempts) == ("SUCCEEDED", "up\n", 1), job
    assert len(launchers(any_worker)) > COUNT, "another one was started"
    hung.release()
    for job_id in hang:
        job = any_worker.ended(job_id)
        assert (job.state, job.text, job.attempts) == ("SUCCEEDED", "ran\n", 1), job
    eventually(lambda: len(launchers(any_worker)) == COUNT)


def launchers(worker: Worker) -> list[int]:
    (supervisor,) = supervisors(worker.state)
    return [pid for pid in kin.children(supervisor) if b"launcher.py" in words_of(pid)]


def words_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_job_whose_start_hangs_is_cancelled(any_worker: Worker, hung: HungProgram) -> None:
    first, *others = any_worker.submit_all([hung.command, "echo up", "sleep 1000"])
    assert any_worker.ended(others[0], SOON_S).text == "up\n"
    any_worker.cancel(first)
    job = any_worker.ended(first, SOON_S)
    assert (job.state, job.text, job.attempts) == ("CANCELLED", "", 1), job
    hung.release()
    check_that_it_went_on(any_worker, others[1])
    assert any_worker.finish("sleep 0.3; echo up").text == "up\n"
    assert not hung.ran.exists()


def test_a_start_that_hangs_for_longer_than_its_start_timeout(
    any_worker: Worker, hung: HungProgram
) -> None:
    job = any_worker.ended(any_worker.submit(hung.command, start_timeout=1), SOON_S)
    assert (job.state, job.reason, job.text) == ("FAILED", "TIMEOUT", ""), job
    hung.release()
    assert any_worker.finish("sleep 0.3; echo up").text == "up\n"
    assert not hung.ran.exists(), "it was killed"


@pytest.mark.parametrize("kind", ["root", "job-user", "root-in-bare", "job-user-in-bare"])
def test_a_job_whose_folder_hangs_is_cancelled(
    host_system: Hodei, hung_folder: Path, kind: str
) -> None:
    """The worker starts after the mount, to see it in a mount namespace of its own as well."""
    with contextmanager(running)(host_system, kind, "folder") as worker:
        long = a_long_job(worker)
        hang = worker.submit("echo ran", workdir=str(hung_folder))
        assert worker.finish("echo up").text == "up\n"
        worker.cancel(hang)
        job = worker.ended(hang, SOON_S)
        assert (job.state, job.text, job.attempts) == ("CANCELLED", "", 1), job
        assert worker.finish("echo up").text == "up\n"
        check_that_it_went_on(worker, long)


@pytest.mark.parametrize("kind", ["root", "root-in-bare"])
def test_a_supervisor_with_a_start_that_hangs_ends(
    host_system: Hodei, hung: HungProgram, kind: str
) -> None:
    flags = ("--on-worker-exit", "kill")
    with contextmanager(running)(host_system, kind, "ends", *flags) as worker:
        job_id = worker.submit(hung.command)
        eventually(in_state(worker, [job_id], "RUNNING"))
        worker.end()
        eventually(lambda: not supervisors(worker.state), SOON_S)
        hung.release()
        time.sleep(0.3)
        assert not hung.ran.exists()


@pytest.mark.parametrize("kind", ["root", "root-in-bare", "job-user-in-bare"])
def test_a_start_whose_launcher_is_killed_while_it_hangs_is_killed_as_well(
    host_system: Hodei, hung: HungProgram, kind: str
) -> None:
    """Also where nothing but its parent tells whose it is, and other jobs run."""
    with contextmanager(running)(host_system, kind, "killed") as worker:
        long = a_long_job(worker)
        job_id = worker.submit(hung.command, on_lost="fail")
        (launcher,) = eventually(lambda: [pid for pid in launchers(worker) if forks_of(pid)])
        os.kill(launcher, signal.SIGKILL)
        job = worker.ended(job_id, SOON_S)
        assert (job.state, job.reason, job.text) == ("FAILED", "WORKER_LOST", ""), job
        hung.release()
        assert worker.finish("sleep 0.3; echo up").text == "up\n"
        assert not hung.ran.exists()
        check_that_it_went_on(worker, long)


def forks_of(launcher: int) -> list[int]:
    return [pid for pid in kin.children(launcher) if b"launcher.py" in words_of(pid)]
