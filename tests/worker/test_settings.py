"""Settings of a worker hold from its restart on, whatever jobs its supervisor of before still
has."""

import os
import signal
from pathlib import Path

import pytest

from tests.eventually import eventually, gone
from tests.hosts import JOB_USER, ROOT, make
from tests.running import Hodei
from tests.worker_process import SANE_PATH, Worker, supervisors

STEPS = (
    "for n in $(seq 25); do echo $n; sleep 0.2; done; until [ -e {} ]; do sleep 0.1; done; id -un"
)
"""A job that writes while its worker is started again, and ends when a file is there."""

WHOLE = "".join(f"{n}\n" for n in range(1, 26))


def all_supervisors(worker: Worker) -> list[int]:
    return [
        pid
        for folder in (worker.state, *worker.state.glob("seat-*"))
        for pid in supervisors(folder)
    ]


def stop_running_jobs(worker: Worker) -> None:
    worker.stop()
    for pid in all_supervisors(worker):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def one(host_system: Hodei, hosts_folder: Path) -> Worker:
    return make(host_system, hosts_folder, "ordinary", "w")


def test_an_idle_supervisor_is_replaced_at_once(one: Worker) -> None:
    one.up(one.hodei.token())
    try:
        (before,) = all_supervisors(one)
        one.end()
        one.flags = ("--log-limit", "1000")
        one.up()
        assert one.finish("yes | head -c 5000").log_bytes <= 1000
        assert gone(before)
        (now,) = all_supervisors(one)
        one.end()
        one.up()
        assert all_supervisors(one) == [now], "the same settings: the same supervisor"
    finally:
        stop_running_jobs(one)


def test_a_busy_one_keeps_its_jobs_and_another_takes_the_new_ones(one: Worker) -> None:
    one.up(one.hodei.token())
    try:
        gate = one.state.with_name("gate")
        job_id = one.submit(STEPS.format(gate))
        one.wrote(job_id, "1\n")
        (before,) = all_supervisors(one)
        one.end()
        one.flags = ("--log-limit", "1000")
        one.up()
        assert one.finish("yes | head -c 5000").log_bytes <= 1000
        assert not gone(before)
        gate.touch()
        job = one.ended(job_id)
        assert (job.state, job.attempts, job.text.startswith(WHOLE)) == ("SUCCEEDED", 1, True)
        eventually(lambda: gone(before))
        assert one.finish("echo on").text == "on\n"
        one.end()
        one.up()
        assert one.finish("echo again").text == "again\n"
        assert len(all_supervisors(one)) == 1
    finally:
        stop_running_jobs(one)


def test_jobs_of_both_are_cancelled_adopted_and_counted_in_the_same_slots(one: Worker) -> None:
    one.up(one.hodei.token())
    try:
        first = [one.submit("echo up; sleep 600") for _ in range(5)]
        for job_id in first:
            one.wrote(job_id, "up")
        one.end()
        one.flags = ("--log-limit", "1000")
        one.up()
        second = [one.submit("echo up; sleep 600") for _ in range(5)]
        eventually(lambda: sum(one.attempts(job_id)[0] == "RUNNING" for job_id in second) == 3)
        busy = "SELECT busy_slots FROM workers WHERE labels ->> 'as' = %s"
        eventually(lambda: (8,) in one.hodei.sql(busy, one.label), 30)
        assert sum(one.attempts(job_id)[0] == "RUNNING" for job_id in second) == 3, "8 slots in all"
        one.end()
        one.up()
        for job_id in (*first, *second):
            one.cancel(job_id)
            job = one.ended(job_id)
            assert (job.state, job.attempts <= 1) == ("CANCELLED", True)
        eventually(lambda: len(all_supervisors(one)) == 1)
    finally:
        stop_running_jobs(one)


def test_what_both_left_when_they_died_is_told_of(one: Worker) -> None:
    one.up(one.hodei.token())
    try:
        first = one.submit("echo up; sleep 600", on_lost="fail")
        one.wrote(first, "up")
        one.end()
        one.flags = ("--log-limit", "1000")
        one.up()
        second = one.submit("echo up; sleep 600", on_lost="fail")
        one.wrote(second, "up")
        assert one.process
        one.process.kill()
        one.process.wait()
        for pid in all_supervisors(one):
            os.kill(pid, signal.SIGKILL)
        one.up()
        assert [one.ended(job_id).reason for job_id in (first, second)] == ["WORKER_LOST"] * 2
        assert one.finish("echo on").text == "on\n"
    finally:
        stop_running_jobs(one)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_of_both_end_with_a_worker_that_is_to_kill_them(
    one: Worker, number: signal.Signals
) -> None:
    one.up(one.hodei.token())
    try:
        jobs = [one.submit("echo $$; exec sleep 600", on_lost="fail", grace=1)]
        processes = [int(one.wrote(jobs[0], "\n"))]
        one.end()
        one.flags = ("--log-limit", "1000", "--on-worker-exit", "kill")
        one.up()
        jobs.append(one.submit("echo $$; exec sleep 600", on_lost="fail", grace=1))
        processes.append(int(one.wrote(jobs[1], "\n")))
        both = all_supervisors(one)
        assert (len(both), any(map(gone, processes))) == (2, False)
        assert one.process
        one.process.send_signal(number)
        one.process.wait(30)
        eventually(lambda: all(map(gone, (*processes, *both))))
        one.up()
        assert [one.ended(job_id).reason for job_id in jobs] == ["WORKER_LOST"] * 2
        assert one.finish("echo on").text == "on\n"
    finally:
        stop_running_jobs(one)


def test_a_job_user_given_at_a_restart_holds(host_system: Hodei, hosts_folder: Path) -> None:
    if not ROOT:
        pytest.skip("only root has a job user")
    one = make(host_system, hosts_folder, "root", "w")
    one.up(host_system.token())
    try:
        assert "jobs run as root on this host" in one.log
        gate = one.state.with_name("gate")
        running = one.submit(STEPS.format(gate))
        one.wrote(running, "1\n")
        one.end()
        one.flags = ("--job-user", JOB_USER)
        one.up()
        assert one.finish("id -un").text == f"{JOB_USER}\n"
        gate.touch()
        assert one.ended(running).text == WHOLE + "root\n"
        assert one.finish("id -un").text == f"{JOB_USER}\n"
    finally:
        stop_running_jobs(one)


@pytest.mark.parametrize("fails", [False, True])
def test_under_systemd_the_supervisor_gets_a_delegated_scope_or_starts_without(
    one: Worker, hosts_folder: Path, fails: bool
) -> None:
    """systemd does not run here: a program that takes the same words stands in for systemd-run."""
    shim = hosts_folder / "bin/systemd-run"
    shim.parent.mkdir()
    said = hosts_folder / "said"
    said.touch()
    said.chmod(0o666)
    shim.write_text(
        f'#!/bin/sh\necho "$@" >>{said}\n{"exit 1" if fails else ""}\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n'
    )
    shim.chmod(0o755)
    one.environment |= {"PATH": f"{shim.parent}:{SANE_PATH}", "INVOCATION_ID": "x"}
    one.up(one.hodei.token())
    try:
        assert one.finish("echo ran").text == "ran\n"
        lines = said.read_text().splitlines()
        assert len(lines) == 1 if fails else 2
        assert all("--scope" in line and "Delegate=yes" in line for line in lines)
        if not fails:
            assert "--property=Delegate=yes --unit=hodei-jobs-" in lines[1]
            assert "hodei_worker.supervisor" in lines[1]
    finally:
        stop_running_jobs(one)
