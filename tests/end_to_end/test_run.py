"""`hodei job run`: the job's output is the command's output, its end the command's exit code."""

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.eventually import eventually, gone
from tests.running import Hodei

pytestmark = pytest.mark.unprivileged


def test_stdout_is_the_jobs_stdout_and_stderr_its_stderr_and_our_words(hodei: Hodei) -> None:
    ran = hodei.ok(
        "job",
        "run",
        "--name",
        "hello",
        "--command",
        "printf 'out\\n'; printf 'err\\n' >&2; printf tail",
    )
    assert ran.out == b"out\ntail"
    words = ran.err.splitlines()
    assert words[0].startswith("Job queued successfully: ")
    assert words[1:] == ["err"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--command", "exit 3"], 3, "FAILED (EXIT_NONZERO: exit code 3)"),
        (["--command", "kill -9 $$"], 137, "FAILED (SIGNALED: ended by signal SIGKILL)"),
        (
            ["--command", "sleep 60", "--timeout", "0.3"],
            124,
            "FAILED (TIMEOUT: ran longer than its time-out of 0.3 s)",
        ),
        (["--", "/no/such/program"], 125, "FAILED (START_FAILED: /no/such/program: no such file)"),
        (
            ["--", "no-such-program"],
            125,
            "FAILED (START_FAILED: no-such-program: command not found in PATH",
        ),
        (
            ["--command", "true", "--workdir", "/no/such/folder"],
            125,
            "START_FAILED: workdir /no/such/folder: no such folder",
        ),
    ],
)
def test_it_exits_as_the_job_ended(
    hodei: Hodei, arguments: list[str], code: int, words: str
) -> None:
    ran = hodei.run("job", "run", *arguments)
    assert ran.code == code
    assert words in ran.err


def test_a_script_file_with_its_interpreter_env_stdin_and_argv(
    hodei: Hodei, tmp_path: Path
) -> None:
    script = tmp_path / "job.py"
    script.write_text("import os, sys\nprint(os.environ['A'], sys.stdin.read().upper())\n")
    flags = [
        "--script",
        str(script),
        "--interpreter",
        f"{sys.executable} -u",
        "--env",
        "A=1=2",
        "--stdin",
        "-",
    ]
    assert hodei.ok("job", "run", *flags, stdin=b"abc").text == "1=2 ABC\n"
    assert hodei.ok("job", "run", "--", "printf", "%s|", "a b", "", "$HOME").text == "a b||$HOME|"


def test_binary_stdin_arrives_as_it_was(hodei: Hodei) -> None:
    data = bytes(range(256)) * 2000
    assert (
        hodei.ok("job", "run", "--stdin", "-", "--", "cat", stdin=data[:150_000]).out
        == data[:150_000]
    )


def test_a_jobs_environment_holds_nothing_of_the_workers(hodei: Hodei) -> None:
    job_id = hodei.submit("--env", "MINE=yes", "--", "env")
    seen = dict(
        line.split("=", 1) for line in hodei.ok("job", "logs", "-f", job_id).text.splitlines()
    )
    assert set(seen) - {"TZ"} == {
        "PATH",
        "HOME",
        "LANG",
        "USER",
        "LOGNAME",
        "HODEI_JOB_ID",
        "HODEI_ATTEMPT",
        "HODEI_LEASE",
        "MINE",
    }
    assert seen["USER"] == seen["LOGNAME"] == pwd.getpwuid(os.getuid()).pw_name
    assert (seen["HODEI_JOB_ID"], seen["HODEI_ATTEMPT"]) == (job_id, "1")


def test_each_attempt_has_a_fresh_folder_that_is_gone_afterwards(hodei: Hodei) -> None:
    folder = hodei.ok("job", "run", "--command", "pwd; ls -A; touch left").text.strip()
    assert Path(folder).parent.name == "jobs"
    eventually(lambda: not Path(folder).exists())


def test_stdin_is_empty_unless_given(hodei: Hodei) -> None:
    assert hodei.ok("job", "run", "--", "cat").out == b""


def test_a_job_that_ignores_term_is_killed_after_its_grace(hodei: Hodei) -> None:
    job_id = hodei.submit(
        "--grace", "0.5", "--command", "trap '' TERM; echo up; while :; do sleep 0.1; done"
    )
    hodei.wrote(job_id, "up\n")
    begun = time.monotonic()
    hodei.ok("job", "cancel", job_id)
    hodei.until(job_id, "CANCELLED")
    assert 0.4 < time.monotonic() - begun < 9.5, "10 s is the grace of who asks for none"
    assert hodei.job(job_id)["reason"] == "CANCELLED"


def test_what_escapes_by_setsid_is_killed_with_the_job(hodei: Hodei) -> None:
    job_id = hodei.submit(
        "--grace",
        "0.3",
        "--command",
        "setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & wait",
    )
    pid = int(hodei.wrote(job_id))
    hodei.ok("job", "cancel", job_id)
    assert hodei.finish(job_id)["state"] == "CANCELLED"
    eventually(lambda: gone(pid))


def test_a_background_child_does_not_hold_the_job_open_and_is_counted(hodei: Hodei) -> None:
    begun = time.monotonic()
    job_id = hodei.submit("--command", "sleep 300 & setsid sleep 300 & echo done")
    job = hodei.finish(job_id)
    assert (job["state"], job["leftover_processes"]) == ("SUCCEEDED", 2)
    assert hodei.ok("job", "logs", job_id).text == "done\n"
    assert time.monotonic() - begun < 60
    carriers = [p for p in Path("/proc").glob("[0-9]*/environ") if _carries(p, job_id)]
    assert carriers == []


def _carries(environ: Path, job_id: str) -> bool:
    try:
        return f"HODEI_JOB_ID={job_id}".encode() in environ.read_bytes()
    except OSError:
        return False


def test_exit_code_signal_memory_and_cpu_time_are_recorded(hodei: Hodei) -> None:
    script = "b = bytearray(90_000_000); x = sum(range(3_000_000))"
    job = hodei.finish(hodei.submit("--", sys.executable, "-c", script))
    assert (job["exit_code"], job["signal"], job["reason"]) == (0, None, None)
    assert job["peak_memory_bytes"] > 90_000_000
    assert job["cpu_s"] > 0.02
    killed = hodei.finish(hodei.submit("--command", "kill -TERM $$"))
    assert (killed["exit_code"], killed["signal"], killed["reason"]) == (None, 15, "SIGNALED")


def test_timestamps_prefix_each_line(hodei: Hodei) -> None:
    lines = hodei.ok(
        "job", "run", "--timestamps", "--command", "echo a; sleep 0.3; echo b"
    ).text.splitlines()
    assert [line.split("Z ", 1)[1] for line in lines] == ["a", "b"]
    assert lines[0] < lines[1]


def test_retries_run_a_failed_job_again(hodei: Hodei, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    mark = tmp_path / "mark"
    job_id = hodei.submit(
        "--retries",
        "1",
        "--command",
        f"echo try $HODEI_ATTEMPT; [ -e {mark} ] || {{ touch {mark}; exit 5; }}",
    )
    job = hodei.finish(job_id)
    assert (job["state"], job["attempts"]) == ("SUCCEEDED", 2)
    assert hodei.ok("job", "logs", job_id).text == "try 1\ntry 2\n"
    events = [e["event_type"] for e in hodei.ok("job", "timeline", job_id, "--format", "json").json]
    assert events == [
        "JobCreated",
        "JobAssigned",
        "JobStatusChanged",
        "JobStatusChanged",
        "JobRetried",
        "JobAssigned",
        "JobStatusChanged",
        "JobStatusChanged",
    ]


def test_detach_prints_only_the_id(hodei: Hodei) -> None:
    ran = hodei.ok("job", "run", "--detach", "--command", "true")
    assert hodei.finish(ran.text.strip())["state"] == "SUCCEEDED"
    ran = hodei.ok("job", "run", "-d", "-o", "json", "--command", "true")
    assert list(ran.json) == ["job_id"]


def test_a_closed_pipe_ends_it_quietly(hodei: Hodei) -> None:
    job_id = hodei.submit("--command", "yes | head -c 3000000")
    hodei.finish(job_id)
    command = f"{sys.executable} -m hodei.cli.main --server {hodei.addresses[0]} job logs {job_id} | head -c 10"
    ran = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, env=os.environ, check=False
    )
    assert (ran.stdout, ran.stderr) == ("y\n" * 5, "")


def test_retry_makes_a_new_job_that_names_the_old_one(hodei: Hodei) -> None:
    old = hodei.submit("--name", "again", "--env", "A=1", "--command", "echo $A; exit 3")
    assert hodei.finish(old)["state"] == "FAILED"
    new = hodei.ok("job", "retry", old).text.strip()
    assert new != old
    job = hodei.finish(new)
    assert (job["state"], job["name"], job["retry_of"], job["correlation_id"]) == (
        "FAILED",
        "again",
        old,
        old,
    )
    assert hodei.ok("job", "logs", new).text == "1\n"
    assert hodei.job(old)["attempts"] == 1
    waiting = hodei.submit("--label", "never=there", "--command", "true")
    ran = hodei.run("job", "retry", waiting)
    assert (ran.code, ran.err) == (
        125,
        f"Error: job {waiting} is PENDING: only a job that has ended can be run again\n",
    )
    hodei.ok("job", "cancel", waiting)


def test_a_quiet_run_says_only_what_the_job_says_and_how_it_failed(hodei: Hodei) -> None:
    """The job waits for 3 s, of which a run that is not quiet speaks after 2 s."""
    ran = hodei.run("job", "run", "-q", "--run-at", "+3s", "--", "echo", "hello")
    assert (ran.code, ran.text, ran.err) == (0, "hello\n", "")
    failed = hodei.run("job", "run", "-q", "--", "false")
    assert failed.code == 1
    assert failed.err.endswith("FAILED (EXIT_NONZERO: exit code 1)\n")
    assert failed.err.count("\n") == 1
