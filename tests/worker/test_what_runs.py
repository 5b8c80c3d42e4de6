"""What runs a job is what its owner means, and a bad interpreter is called one."""

import os
import pwd
import re
from pathlib import Path

import pytest

from hodei_worker.supervisor.messages import REQUEST, SPAWN, Request
from tests.hosts import JOB_USER
from tests.worker_process import Worker

pytestmark = pytest.mark.unprivileged


def test_a_long_command_runs(worker: Worker) -> None:
    assert worker.finish(": " + "é" * 70_000 + "; echo $((6 * 7))").text == "42\n"
    assert worker.finish(": " + "x" * 200_000 + "; echo long").text == "long\n"


def test_a_scripts_first_line_says_what_runs_it(worker: Worker) -> None:
    script = "#!/usr/bin/env python3\nimport sys; print(sys.version_info.major)\n"
    assert worker.finish(script=script).text == "3\n"
    assert worker.finish(script="#!/bin/sh -e\nfalse\necho on\n").exit_code == 1
    assert worker.finish(script="echo plain\n").text == "plain\n"
    assert worker.finish(script=script, interpreter=["/bin/cat"]).text == script
    assert worker.finish(script=script, interpreter=["/bin/sh"]).exit_code == 2, (
        "it is what was asked for"
    )
    env = "#!/usr/bin/env -S python3 -u -X utf8\nimport sys; print(sys.flags.utf8_mode)\n"
    assert worker.finish(script=env).text == "1\n"
    for bad in ("/no/such/thing", "no-such-thing"):
        job = worker.finish(script=f"#!{bad}\n")
        assert job.reason == "START_FAILED"
        assert job.message.startswith(f"bad interpreter: {bad}: ")


def test_files_with_a_bad_first_line_are_told_so(worker: Worker, hosts_folder: Path) -> None:
    for line, words in (
        ("#!/bin/sh\r", "bad interpreter '/bin/sh': "),
        ("#!/no/such", "bad interpreter '/no/such'"),
    ):
        file = hosts_folder / "program"
        file.write_text(f"{line}\necho hi\n")
        file.chmod(0o755)
        job = worker.finish([str(file)])
        assert job.reason == "START_FAILED"
        assert words in job.message


def test_what_no_shell_reads_as_it_is_meant_is_told_at_submit(
    worker: Worker, tmp_path: Path
) -> None:
    for text, words in (
        ("#!/bin/sh\r\nset -e\r\n", "CR LF"),
        ("\ufeff#!/bin/sh\ntrue\n", "byte order mark"),
    ):
        file = tmp_path / "script.sh"
        file.write_bytes(text.encode())
        ran = worker.run("--script", str(file))
        assert ran.code == 2
        (line,) = [line for line in ran.err.splitlines() if line.startswith("Error: ")]
        assert words in line
        assert worker.run("--script", str(file), "--interpreter", "cat").out == text.encode()


def test_a_script_job_is_named_by_its_file(worker: Worker, tmp_path: Path) -> None:
    def name(*arguments: str) -> str:
        ran = worker.run(*arguments)
        job_id = ran.err.splitlines()[0].rsplit(" ", 1)[1]
        return str(worker.hodei.job(job_id)["name"])

    file = tmp_path / "back\nup.sh"
    file.write_text("true\n")
    assert name("--script", str(file)) == "back\\nup.sh"
    assert name("--script", str(file), "--name", "other") == "other"
    assert name("--command", "TOKEN=s3cret true") == "job"
    assert name("--", "/bin/echo", "s3cret") == "/bin/echo"


def test_user_and_zone(worker: Worker) -> None:
    name = {"job-user": JOB_USER, "root": "root"}.get(worker.kind)
    name = name or (worker.user.pw_name if worker.user else pwd.getpwuid(os.getuid()).pw_name)
    assert worker.finish("set -u; echo $USER $LOGNAME ${TZ-none}").text == f"{name} {name} none\n"


def test_a_job_gets_its_umask_and_the_next_one_the_workers(worker: Worker) -> None:
    own = worker.finish("umask").text
    assert worker.finish("umask; : >f; stat -c %a f", umask="0137").text == "0137\n640\n"
    assert worker.finish(["sh", "-c", "umask"], umask="0000").text == "0000\n"
    assert worker.finish(script="umask\n", umask="0777").text == "0777\n"
    assert worker.finish(["no-such-program"], umask="0777").reason == "START_FAILED"
    assert worker.finish("umask").text == own


def test_a_request_of_a_supervisor_of_before_has_no_umask() -> None:
    """It may outlive an upgrade on the disk, and then starts launchers of this release."""
    words = b"cgroup\0/tmp\0/bin\0sh\0-c\0NAME\0value\0"
    before = Request(memoryview(REQUEST.pack(SPAWN, 1, 2, 2) + words), [])
    now = Request(memoryview(REQUEST.pack(SPAWN, 1, 2, 2) + words + b"0027\0"), [])
    assert (before.umask, now.umask) == (b"", b"0027")
    assert before.argv == now.argv == [b"sh", b"-c"]
    assert before.environment == now.environment == {b"NAME": b"value"}


def test_a_job_is_stopped_with_the_signal_that_it_asks_for(worker: Worker) -> None:
    """The program handles each of them and says which one came."""
    traps = 'for s in TERM INT HUP QUIT USR1 USR2; do trap "echo got $s; exit 3" $s; done'
    wait = "echo up; while :; do sleep 0.05; done"
    jobs = {
        name: worker.submit(f"{traps}; {wait}", **({"term": name} if name else {}))
        for name in ("", "INT", "HUP", "QUIT", "USR1", "USR2")
    }
    for name, job_id in jobs.items():
        worker.wrote(job_id, "up\n")
        worker.cancel(job_id)
        job = worker.ended(job_id)
        said = re.findall(r"got \w+", job.text)
        assert (job.state, said) == ("CANCELLED", [f"got {name or 'TERM'}"])


def test_a_limit_of_time_sends_the_same_signal_and_kill_follows(worker: Worker) -> None:
    job = worker.finish(
        "trap 'echo got INT' INT; kill -STOP $$; while :; do sleep 0.05; done",
        term="INT",
        timeout=0.5,
        grace=0.5,
    )
    assert (job.state, job.reason) == ("FAILED", "TIMEOUT")
    assert "got INT\n" in job.text, "also a process that was stopped"
