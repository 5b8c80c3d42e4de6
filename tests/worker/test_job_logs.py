"""A log is whole or says where not; what runs a job is what its owner means."""

import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hodei_worker.supervisor.tail import Tail, share
from tests.hosts import JOB_USER, ROOT, Worker, make
from tests.running import Hodei

pytestmark = pytest.mark.unprivileged


@pytest.mark.parametrize("limit", [60, 1000, 300_000])
def test_the_last_lines_of_a_log_over_its_limit_are_kept(worker: Worker, limit: int) -> None:
    lines = limit // 10 * 5
    command = f"seq -f 'line %08g' {lines}; echo FATAL the real reason >&2; exit 3"
    job = worker.finish(command, log_limit=limit)
    assert job.log_bytes <= limit
    assert job.text.endswith("FATAL the real reason\n")
    head, notice, tail = re.split(r"\[(\d+) bytes left out\]\n", job.text)
    whole = "".join(f"line {n:08}\n" for n in range(1, lines + 1)) + "FATAL the real reason\n"
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert int(notice) == job.dropped == len(whole) - len(head) - len(tail)
    if limit >= 1000:
        assert head.endswith("\n")
        assert tail.startswith("line ")
    if not tail.startswith("line "):
        return
    asked = "SELECT max(byte_offset + length(data)) FROM job_logs WHERE job_id = %s AND stream = 1"
    assert worker.hodei.sql(asked, job.id) == [(lines * 14,)], "offsets count what is left out"


def test_a_log_of_just_its_limit_is_whole(worker: Worker) -> None:
    job = worker.finish("yes | head -c 200000", log_limit=200_000)
    assert (job.text, job.dropped) == ("y\n" * 100_000, 0)


def test_the_smaller_limit_holds(host_system: Hodei, hosts_folder: Path) -> None:
    one = make(host_system, hosts_folder, "ordinary", "limited", "--log-limit", "1000")
    one.up(host_system.token())
    try:
        for given in (0, 5000):
            assert one.finish("yes | head -c 9000", log_limit=given).log_bytes <= 1000
        assert one.finish("yes | head -c 9000", log_limit=500).log_bytes <= 500
    finally:
        one.stop()


def test_a_share_is_a_tenth_at_least_64_kib_at_most_half() -> None:
    assert [share(n) for n in (0, 60, 100_000, 400_000, 100 << 20)] == [
        0, 30, 50_000, 65_536, (100 << 20) // 10,
    ]  # fmt: skip


def test_the_tail_takes_little_room(tmp_path: Path) -> None:
    tail = Tail(tmp_path, 100_000)
    for number in range(20_000):
        tail.add(1 + number % 2, f"{number:099}\n".encode())
    pieces = tail.take(100_000)
    assert b"".join(data for _, data in pieces).endswith(f"{19_999:099}\n".encode())
    assert 99_800 < sum(len(data) for _, data in pieces) <= 100_000


def test_lines_of_both_streams_come_in_order_with_8_jobs_at_once(worker: Worker) -> None:
    loop = "for i in 1 2 3 4 5 6; do echo out$i; sleep 0.06; echo err$i >&2; sleep 0.06; done"
    ids = [worker.submit(loop) for _ in range(8)]
    expected = "".join(f"out{n}\nerr{n}\n" for n in range(1, 7))
    assert [worker.ended(job_id).text for job_id in ids] == [expected] * 8


@pytest.fixture
def small(host_system: Hodei, tmp_path: Path) -> Iterator[Worker]:
    """A worker whose state folder is on a disk of 6 MB."""
    if not ROOT:
        pytest.skip("only root can mount a small disk")
    one = make(host_system, tmp_path, "root", "w")
    one.state.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(one.state)]
    if subprocess.run(mounted, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    one.up(host_system.token())
    yield one
    one.stop()
    subprocess.run(["umount", "-l", one.state], check=False)


def test_a_log_that_the_job_left_no_room_for_is_no_success(small: Worker) -> None:
    fill = "dd if=/dev/zero of=big bs=64k count=400 2>/dev/null; seq 1 5000; echo the result: 42; "
    job = small.finish(fill)
    assert (job.state, job.reason) == ("FAILED", "LIMIT_EXCEEDED")
    assert job.message == f"the worker's disk is full: the job's log cannot be kept; {job.dropped} bytes of its log are lost"
    job = small.finish(fill + "exit 5")
    assert job.reason in ("EXIT_NONZERO", "LIMIT_EXCEEDED")
    assert "bytes of its log are lost" in job.message


def test_a_long_command_runs(worker: Worker) -> None:
    assert worker.finish(": " + "é" * 70_000 + "; echo $((6 * 7))").text == "42\n"
    assert worker.finish(": " + "x" * 200_000 + "; echo long").text == "long\n"


def test_a_scripts_first_line_says_what_runs_it(worker: Worker) -> None:
    script = "#!/usr/bin/env python3\nimport sys; print(sys.version_info.major)\n"
    assert worker.finish(script=script).text == "3\n"
    assert worker.finish(script="#!/bin/sh -e\nfalse\necho on\n").exit_code == 1
    assert worker.finish(script="echo plain\n").text == "plain\n"
    assert worker.finish(script=script, interpreter=["/bin/cat"]).text == script
    for bad in ("#!/bin/sh\r\necho hi\r\n", "#!\necho hi\n"):
        job = worker.finish(script=bad)
        assert job.reason == "START_FAILED"
        assert "bad interpreter" in job.message
    assert worker.finish(script="#!/no/such/thing\n").reason == "START_FAILED"


def test_user_and_zone(worker: Worker) -> None:
    name = {"job-user": JOB_USER, "root": "root"}.get(worker.kind)
    name = name or (worker.user.pw_name if worker.user else pwd.getpwuid(os.getuid()).pw_name)
    assert worker.finish("set -u; echo $USER $LOGNAME ${TZ-none}").text == f"{name} {name} none\n"
