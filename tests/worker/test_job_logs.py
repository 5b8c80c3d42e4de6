"""A log is whole or says where not; what runs a job is what its owner means."""

import os
import pwd
import re

import pytest

from tests.hosts import JOB_USER, Worker

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
