"""What a job starts ends with it, and has no more rights than it: on workers of each kind, with and
without cgroups."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.eventually import eventually, gone
from tests.hosts import JOB_USER, ORDINARY, ROOT, make, running
from tests.running import Hodei
from tests.worker_process import Worker, supervisors

DAEMON = "(env -i /usr/bin/setsid /bin/sleep {n} >/dev/null 2>&1 </dev/null &)"


def sleepers(number: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"sleep\0{number}\0".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if not gone(pid)]


def is_in_journal(worker: Worker, pid: int) -> bool:
    """Whether the next supervisor would know this process of a job without a cgroup."""
    return f"[{pid}," in (worker.state / "journal").read_text()


@pytest.fixture
def number() -> int:
    """Of seconds, so that a sleep is known by it."""
    return 100_000 + time.time_ns() // 1000 % 900_000


def test_a_worker_has_cgroups_where_it_can(any_worker: Worker) -> None:
    can = any_worker.kind in ("root", "job-user", "ordinary-in-delegated")
    assert any_worker.contained == can


def test_a_daemon_of_a_job_is_killed_and_counted_at_its_end(
    any_worker: Worker, number: int
) -> None:
    """It is an orphan, in a session of its own, with an empty environment."""
    job = any_worker.finish(DAEMON.format(n=number) + "; sleep 0.3; echo done")
    assert (job.state, job.text, job.leftover) == ("SUCCEEDED", "done\n", 1)
    eventually(lambda: not sleepers(number))


def test_a_daemon_of_a_job_is_killed_with_it(any_worker: Worker, number: int) -> None:
    job_id = any_worker.submit(DAEMON.format(n=number) + "; echo up; sleep 600", grace=1)
    any_worker.wrote(job_id, "up")
    any_worker.cancel(job_id)
    assert any_worker.ended(job_id).state == "CANCELLED"
    eventually(lambda: not sleepers(number))


def test_who_forks_while_it_is_killed_is_killed(any_worker: Worker, number: int) -> None:
    daemon = (
        f"(env -i /usr/bin/setsid /bin/sh -c 'trap \"\" TERM; sleep {number}' >/dev/null 2>&1 &)"
    )
    job_id = any_worker.submit(
        f"trap '' TERM; echo up; while :; do {daemon}; sleep 0.02; done", grace=1
    )
    any_worker.wrote(job_id, "up")
    any_worker.cancel(job_id)
    assert any_worker.ended(job_id).state == "CANCELLED"
    eventually(lambda: not sleepers(number))


def test_what_a_dead_supervisor_left_is_killed_before_the_next_attempt(
    any_worker: Worker, number: int
) -> None:
    daemon = f"env -i /usr/bin/setsid /bin/sleep {number} & echo attempt $HODEI_ATTEMPT; wait"
    shell = any_worker.submit(f'test "$HODEI_ATTEMPT" = 2 && exit; {daemon}')
    bare = any_worker.submit(["/usr/bin/env", "-i", "/bin/sleep", str(number + 1)], on_lost="fail")
    any_worker.wrote(shell, "attempt 1")
    eventually(lambda: sleepers(number) and sleepers(number + 1))
    contained = any_worker.contained
    left = [*sleepers(number), *sleepers(number + 1)]
    eventually(lambda: contained or all(is_in_journal(any_worker, pid) for pid in left))
    os.kill(supervisors(any_worker.state)[0], signal.SIGKILL)
    any_worker.hodei.back_off_ends(shell)
    job, lost = any_worker.ended(shell), any_worker.ended(bare)
    assert (job.state, job.attempts, lost.reason) == ("SUCCEEDED", 2, "WORKER_LOST")
    assert not sleepers(number)
    assert not sleepers(number + 1)
    said = (
        "its processes were killed"
        if contained
        else "of its processes that could be found were killed"
    )
    assert said in lost.message


def test_orphans_of_two_jobs_are_told_as_doubtful_and_end_with_the_last(
    any_worker: Worker, number: int
) -> None:
    other = any_worker.submit("sleep 600")
    eventually(lambda: any_worker.attempts(other)[0] == "RUNNING")
    time.sleep(0.1)
    for _ in range(10):  # until no look sees who made it
        job = any_worker.finish(DAEMON.format(n=number) + "; sleep 0.05; echo done")
        if any_worker.contained or job.unknown:
            break
        assert not sleepers(number)
    shown = any_worker.hodei.job(job.id)["leftover_unknown"]
    if any_worker.contained:
        assert (job.leftover > 0, job.unknown, shown, job.message or "") == (True, 0, 0, "")
    else:
        assert (job.unknown, shown) == (1, 1)
        assert (
            "1 that may be another job's, alive" in any_worker.hodei.ok("job", "get", job.id).text
        )
        assert (
            '"leftover_unknown": 1'
            in any_worker.hodei.ok("job", "timeline", job.id, "--format", "json").text
        )
        assert re.search("left over, by this job or another one: process", job.message), job
    any_worker.cancel(other)
    assert any_worker.ended(other).state == "CANCELLED"
    eventually(lambda: not sleepers(number))


def test_a_launcher_that_a_job_kills_costs_no_job(any_worker: Worker, number: int) -> None:
    gate = any_worker.state.with_name(f"gate-{number}")
    waits = f"until [ -e {gate} ]; do sleep 0.1; done; echo fine; exit 7"
    neighbours = [any_worker.submit(waits) for _ in range(5)]
    for job_id in neighbours:
        eventually(lambda job_id=job_id: any_worker.attempts(job_id)[0] == "RUNNING")  # type: ignore[misc]
    for _ in range(6):
        job = any_worker.finish("kill -9 $PPID; sleep 0.2; exit 5")
        assert (job.reason, job.exit_code, job.attempts) == ("EXIT_NONZERO", 5, 1), job
    gate.touch()
    for job_id in neighbours:
        job = any_worker.ended(job_id)
        assert (job.exit_code, job.text, job.attempts) == (7, "fine\n", 1), job
    assert any_worker.finish("echo on").text == "on\n"
    stopped = any_worker.finish("kill -STOP $PPID; exit 6")
    assert stopped.exit_code == 6


def test_a_child_is_a_victim_and_has_all_signals_from_its_first_instant(any_worker: Worker) -> None:
    shows = "cat /proc/self/oom_score_adj; grep -E 'Sig(Ign|Blk)' /proc/self/status"
    score, _, blocked, _, ignored = any_worker.finish(f"({shows}; true)").text.split()
    libc = 0b11 << 31  # 32 and 33, which glibc keeps for itself in all that it spawns
    assert (score, int(blocked, 16), int(ignored, 16) & ~libc) == ("500", 0, 0)
    job = any_worker.finish("ulimit -f 8; head -c 100000 /dev/zero >big; echo $?")
    assert job.text.endswith(f"\n{128 + signal.SIGXFSZ}\n")
    assert any_worker.finish("ls /proc/self/fd | wc -l").text == "4\n", "three, and ls's own"


def test_each_failure_to_start_is_told_with_the_programs_name(
    any_worker: Worker, tmp_path: Path
) -> None:
    folder = any_worker.state.parent / "bin"
    folder.mkdir(exist_ok=True)
    for name, text, mode in (
        ("crlf", "#!/bin/sh\r\necho hi\r\n", 0o755),
        ("lost", "#!/no/such/interpreter -x\n", 0o755),
        ("plain", "echo plain $1\n", 0o755),
        ("closed", "#!/bin/sh\n", 0o644),
        ("elf", "\x7fELF rubbish", 0o755),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(mode)

    def why(program: str) -> str:
        job = any_worker.finish([program])
        assert job.reason == "START_FAILED", job
        return job.message

    assert why(f"{folder}/none") == f"{folder}/none: no such file"
    assert why("no-such-program").startswith("no-such-program: command not found in PATH (")
    assert why(f"{folder}/closed") == f"{folder}/closed: not executable"
    assert (
        why(f"{folder}/lost")
        == f"{folder}/lost: bad interpreter '/no/such/interpreter': no such file"
    )
    assert "bad interpreter '/bin/sh': its lines end as on Windows (CR LF)" in why(f"{folder}/crlf")
    assert "Exec format error" in why(f"{folder}/elf")
    assert any_worker.finish([f"{folder}/plain", "x"]).text == "plain x\n", "as execvp does"
    job = any_worker.finish("true", workdir="/no/such/folder")
    assert (job.reason, job.message) == (
        "START_FAILED",
        "workdir /no/such/folder: no such folder on this worker",
    )


def test_devices_scripts_and_the_folders_name_work(any_worker: Worker) -> None:
    job = any_worker.finish(
        "echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin", stdin="in\n"
    )
    assert sorted(job.text.split()) == ["err", "in", "out"], job
    job = any_worker.finish(
        script='cd "$PWD" && mktemp -p "$PWD" >/dev/null && echo $0 && cat "$0" >/dev/null && echo ok'
    )
    assert job.text.endswith("ok\n"), job
    if shutil.which("git"):
        assert (
            any_worker.finish('git init -q r && cd "$PWD/r" && git status -s && echo ok').text
            == "ok\n"
        )


def test_large_requests_arrive_whole(any_worker: Worker) -> None:
    environment = {f"V{n}": str(n) * 5000 for n in range(20)}
    job = any_worker.finish('echo "$V7$V19" | wc -c', env=environment | {"Q": "a'b\nc\\ $(x)"})
    assert job.text.strip() == str(5000 + 10000 + 1)
    assert (
        any_worker.finish('printf %s "$Q"', env={"Q": "a'b\nc\\ $(x) \u00e9"}).text
        == "a'b\nc\\ $(x) \u00e9"
    )


# ── rights ──


@pytest.fixture
def job_user(any_worker: Worker) -> Worker:
    if not any_worker.kind.startswith("job-user"):
        pytest.skip("without --job-user a job has the worker's rights")
    return any_worker


NOTES = """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void note(void) {
    int file = open("NOTES", O_WRONLY | O_APPEND);
    dprintf(file, "%d %d\\n", getuid(), geteuid());
}
"""


def test_nothing_of_a_job_is_loaded_with_more_rights_than_its_own(
    job_user: Worker, hosts_folder: Path
) -> None:
    if not shutil.which("cc"):
        pytest.skip("no C compiler on this machine")
    notes, source, library = (hosts_folder / name for name in ("notes", "note.c", "note.so"))
    notes.touch(mode=0o666)
    notes.chmod(0o666)
    source.write_text(NOTES.replace("NOTES", str(notes)))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    job = job_user.finish("id -un", env={"LD_PRELOAD": str(library)})
    assert job.text == f"{JOB_USER}\n"
    uid = str(pwd.getpwnam(JOB_USER).pw_uid)
    seen = {tuple(line.split()) for line in notes.read_text().splitlines()}
    assert seen == {(uid, uid)}


def test_a_job_user_enters_only_what_is_open_to_it(job_user: Worker, hosts_folder: Path) -> None:
    closed = hosts_folder / "closed"
    inner = closed / "open"
    inner.mkdir(parents=True)
    (inner / "secret").write_text("secret")
    closed.chmod(0o700)
    job = job_user.finish("cat secret", workdir=str(inner))
    assert (job.reason, job.message) == ("START_FAILED", f"workdir {inner}: Permission denied")
    assert job_user.finish("true", workdir=f"{closed}/none").message.endswith("Permission denied")
    job = job_user.finish([f"{inner}/program"])
    assert job.reason == "START_FAILED"
    groups = job_user.finish("id -G; cat /proc/self/status").text
    assert "CapEff:\t0000000000000000" in groups
    assert "CapPrm:\t0000000000000000" in groups
    assert not {"0"} & set(groups.splitlines()[0].split())


def test_home_is_the_job_users_or_else_the_jobs_folder(
    host_system: Hodei, job_user: Worker
) -> None:
    assert not Path(pwd.getpwnam(JOB_USER).pw_dir).exists()
    home, folder = job_user.finish('echo "$HOME"; pwd').text.split()
    assert home == folder
    flags = ("--job-user", ORDINARY)
    with contextmanager(running)(host_system, "root", "home", *flags) as worker:
        assert worker.finish('echo "$HOME"').text == f"{pwd.getpwnam(ORDINARY).pw_dir}\n"


def test_no_file_of_a_job_or_the_worker_is_readable_by_others(any_worker: Worker) -> None:
    script = 'stat -L -c %a "$0" /proc/self/fd/0; pwd; sleep 1'
    job_id = any_worker.submit(script=script, stdin="secret")
    lines = any_worker.wrote(job_id, "/").split()
    assert {mode[-2:] for mode in lines[:2]} == {"00"}, lines
    others = [
        path
        for path in any_worker.state.iterdir()
        if path.is_file() and path.lstat().st_mode & 0o044
    ]
    assert [path.name for path in others] == []
    any_worker.ended(job_id)


def test_a_state_folder_that_the_job_user_cannot_pass_is_told_at_the_start(
    host_system: Hodei, hosts_folder: Path
) -> None:
    if not ROOT:
        pytest.skip("only root has a job user")
    (hosts_folder / "job-user").mkdir(mode=0o700)
    one = make(host_system, hosts_folder, "job-user", "w")
    with pytest.raises(AssertionError):
        one.up(host_system.token())
    words = f"--job-user {JOB_USER}: this user cannot enter {hosts_folder / 'job-user'}"
    assert words in one.log
