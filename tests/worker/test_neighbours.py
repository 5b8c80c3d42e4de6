"""One job cannot harm another, nor the worker: on workers of each kind."""

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hodei_worker.supervisor.remover import remove
from tests.eventually import eventually, gone
from tests.hosts import make
from tests.running import Hodei
from tests.worker_process import Worker, supervisors

pytestmark = pytest.mark.unprivileged

NOT_UTF8 = 'printf "\\303" >/proc/$$/comm; '
TICKS = "for i in $(seq 200); do echo tick $i; sleep 0.2; done"


@pytest.fixture
def neighbour(worker: Worker) -> Iterator[str]:
    """A job that goes on, whatever another one does."""
    job_id = worker.submit(TICKS, on_lost="fail")
    worker.wrote(job_id, "tick 2")
    yield job_id
    assert worker.attempts(job_id) == ("RUNNING", 1)
    worker.cancel(job_id)
    assert worker.ended(job_id).state == "CANCELLED"


@pytest.mark.usefixtures("neighbour")
def test_a_name_that_is_no_utf8_ends_by_time_out_and_by_cancel(worker: Worker) -> None:
    job = worker.finish(NOT_UTF8 + "echo $$; while :; do sleep 1; done", timeout=1, grace=1)
    assert job.reason == "TIMEOUT"
    eventually(lambda: gone(int(job.text)))
    loop = "trap '' TERM; echo $$; while :; do sleep 1; done"
    job_id = worker.submit(NOT_UTF8 + loop, grace=1)
    pid = int(worker.wrote(job_id, "\n"))
    worker.cancel(job_id)
    assert worker.ended(job_id).state == "CANCELLED"
    eventually(lambda: gone(pid))


def test_a_leftover_whose_name_is_no_utf8_is_killed(worker: Worker) -> None:
    job = worker.finish(f"sh -c '{NOT_UTF8} echo $$; sleep 600; true' & sleep 0.5; echo done")
    assert (job.state, job.leftover) == ("SUCCEEDED", 2)
    eventually(lambda: gone(int(job.text.split()[0])))


@pytest.mark.usefixtures("neighbour")
def test_a_job_that_signals_its_parents_fails_alone(worker: Worker) -> None:
    (pid,) = supervisors(worker.state)
    kill = "".join(
        f"kill -{name} $PPID 2>/dev/null; kill -{name} {pid} 2>/dev/null; "
        for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "ALRM", "XFSZ", "TSTP", "RTMIN")
    )
    job = worker.finish(kill + "sleep 0.2; exit 3")
    assert (job.reason, job.exit_code, job.attempts) == ("EXIT_NONZERO", 3, 1)
    assert supervisors(worker.state) == [pid]


def test_folders_that_a_job_removed_are_not_given_to_the_next(worker: Worker) -> None:
    for _ in range(2):
        for job_id in [worker.submit("sleep 0.7") for _ in range(4)]:
            worker.ended(job_id)
        worker.finish('rm -rf ../* "$PWD"/../*; mkdir -p ../2 ../3; touch ../4')
        for job_id in [worker.submit("sleep 0.3; pwd; ls -A; touch mine") for _ in range(6)]:
            job = worker.ended(job_id)
            assert (job.state, job.text.count("\n")) == ("SUCCEEDED", 1), job


def left(worker: Worker) -> list[str]:
    return [
        entry.name for entry in (worker.state / "jobs").iterdir() if entry.name.endswith(".gone")
    ]


DEEP = "import os\nfor i in range(1500): os.mkdir('d'); os.chdir('d')\nprint('deep', flush=True)"


@pytest.mark.parametrize(
    "mess",
    [
        ["/usr/bin/python3", "-c", DEEP],
        "mkdir -p mod/c@v1/sub; echo big >mod/c@v1/sub/big; chmod -R a-w mod; chmod 0 mod/c@v1",
        "mkdir a; ln -s /etc link; chmod 500 .",
        "touch \"$(printf 'a\\377b')\"; ln -s / root; mkfifo fifo",
        'rm -rf "$PWD"; ln -s /etc "$PWD" 2>/dev/null; true',
    ],
    ids=["deep", "read-only", "closed", "odd", "link"],
)
def test_whatever_a_job_leaves_in_its_folder_it_ends_and_the_folder_goes(
    worker: Worker, mess: str | list[str]
) -> None:
    assert worker.finish(mess).state == "SUCCEEDED"
    assert worker.finish("ls -A").text == ""
    eventually(lambda: not left(worker), 20)
    assert Path("/etc/passwd").exists()


def test_many_files_hold_nobody_up(worker: Worker) -> None:
    """40,000: while they are removed other jobs come and go."""
    make_files = "import os\nfor i in range(40_000): os.close(os.open(str(i), os.O_CREAT))"
    job_id = worker.submit(["/usr/bin/python3", "-c", make_files])
    worker.ended(job_id, 240)  # a machine that others use too takes long to make them
    others = 0
    while left(worker):
        assert worker.finish("echo on").text == "on\n"
        others += 1
    assert others > 0, "the end of the job did not wait for it"
    assert others > 2, "nor did another job"


def test_what_stays_is_told(hosts_folder: Path, host_system: Hodei) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make what an ordinary user cannot remove")
    one = make(host_system, hosts_folder, "ordinary", "stays")
    one.up(host_system.token())
    try:
        job_id = one.submit("pwd; mkdir sub; sleep 2")
        folder = Path(one.wrote(job_id, "\n").strip())
        (folder / "sub/roots").mkdir(parents=True)
        (folder / "sub/roots/file").touch()
        assert one.ended(job_id).state == "SUCCEEDED"
        eventually(lambda: "1 entries could not be removed" in one.log)
    finally:
        one.stop()


def test_a_worker_starts_again_over_whatever_lies_there(
    host_system: Hodei, hosts_folder: Path
) -> None:
    one = make(host_system, hosts_folder, "ordinary", "again")
    one.up(host_system.token())
    try:
        command = ["/usr/bin/python3", "-c", DEEP + "\nimport time; time.sleep(600)"]
        job_id = one.submit(command, on_lost="fail")
        one.wrote(job_id, "deep")
        one.kill()
        one.up()
        assert one.ended(job_id).reason == "WORKER_LOST"
        assert one.finish("echo up").text == "up\n"
        eventually(lambda: not left(one), 20)
    finally:
        one.stop()


def test_zombies_are_reaped_as_they_come(worker: Worker) -> None:
    (pid,) = supervisors(worker.state)
    count = f"ps --ppid {pid} -o stat= | grep -c Z; true"
    assert (
        worker.finish(f"for i in $(seq 40); do (sh -c 'exit 0' &); done; sleep 1; {count}").text
        == "0\n"
    )


def test_a_stopped_job_hears_of_its_cancel(worker: Worker) -> None:
    job_id = worker.submit(
        "trap 'echo cleaning up; exit 0' TERM; echo up; kill -STOP $$; sleep 100", grace=30
    )
    worker.wrote(job_id, "up")
    begun = time.monotonic()
    worker.cancel(job_id)
    job = worker.ended(job_id)
    assert (job.state, job.text) == ("CANCELLED", "up\ncleaning up\n")
    assert time.monotonic() - begun < 25, "it was not killed"


def test_leftovers_get_the_jobs_grace(worker: Worker, hosts_folder: Path) -> None:
    hosts_folder.chmod(0o777)
    mark = hosts_folder / "mark"
    child = f"trap 'sleep 3; echo cleaned >{mark}; exit' TERM; while :; do sleep 0.1; done"
    job = worker.finish(f'sh -c "{child}" & sleep 0.5; echo done', grace=30)
    assert (job.state, mark.read_text()) == ("SUCCEEDED", "cleaned\n")


def test_what_cannot_be_killed_is_named_and_frees_its_slot(
    worker: Worker, hosts_folder: Path
) -> None:
    """A program that becomes root, on a worker that is not."""
    if os.geteuid() != 0 or worker.kind != "ordinary":
        pytest.skip("only root can make a program that an ordinary user cannot kill")
    program = hosts_folder / "become"
    shutil.copy(shutil.which("setpriv") or "", program)
    program.chmod(0o4755)
    job = worker.finish([str(program), "--reuid=0", "--", "sleep", "300"], timeout=1, grace=0.5)
    assert job.reason == "TIMEOUT"
    assert re.search(r"could not be killed: process \d+ of root", job.message), job.message
    os.kill(int(re.findall(r"process (\d+)", job.message)[0]), signal.SIGKILL)


def test_the_supervisor_imports_nothing_from_the_folder_it_was_started_in(
    hosts_folder: Path, host_system: Hodei
) -> None:
    trap = hosts_folder / "trap"
    trap.mkdir()
    for name in ("queue", "struct", "orjson", "hodei_worker", "socket"):
        (trap / f"{name}.py").write_text("raise SystemExit('this folder has its own')")
    one = make(host_system, hosts_folder, "ordinary", "cwd")
    one.cwd = str(trap)
    one.safe_path = True  # as the program that pip installs: only `python -m` looks into its folder
    one.up(host_system.token())
    try:
        assert one.finish("echo ran").text == "ran\n"
        (pid,) = supervisors(one.state)
        assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    finally:
        one.stop()


def test_removing_takes_no_recursion_and_follows_no_link(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(kept)
    assert remove(str(tmp_path / "tree")) == 0
    assert not (tmp_path / "tree").exists()
    assert (kept / "file").exists()
    assert remove(str(tmp_path / "never")) == 0


FAULTY = """
import sys
if "hodei_worker.supervisor" in " ".join(sys.orig_argv):
    from hodei_worker.supervisor import members
    def send(self, number): raise UnicodeDecodeError("utf-8", b"x", 0, 1, "a fault of ours")
    members.Attributed.send = members.Contained.send = send
"""


def test_a_fault_of_the_worker_ends_the_job_that_it_was_about_and_no_other(
    host_system: Hodei, hosts_folder: Path
) -> None:
    """Planted: to signal a job's processes throws, from an op of the agent and from a timer."""
    (hosts_folder / "sitecustomize.py").write_text(FAULTY)
    one = make(host_system, hosts_folder, "ordinary", "faulty")
    before = one.environment.get("PYTHONPATH") or os.environ.get("PYTHONPATH", "")
    one.environment["PYTHONPATH"] = f"{hosts_folder}:{before}"
    one.up(host_system.token())
    try:
        other = one.submit("for i in $(seq 200); do echo tick $i; sleep 0.2; done")
        timed = one.finish("echo $$; sleep 600", timeout=1)
        cancelled = one.submit("echo $$; sleep 600")
        pid = int(one.wrote(cancelled, "\n"))
        one.cancel(cancelled)
        job = one.ended(cancelled)
        assert (timed.reason, job.reason) == ("INTERNAL", "INTERNAL")
        assert "a fault of ours" in job.message
        eventually(lambda: gone(pid) and gone(int(timed.text)))
        assert one.attempts(other) == ("RUNNING", 1)
        assert "a fault of ours" in (one.state / "supervisor.log").read_text()
    finally:
        one.stop()


FAULTY_START = """
import os, sys
if "hodei_worker.supervisor" in " ".join(sys.orig_argv):
    from hodei_worker.supervisor.spool import Spool
    job_spool = Spool.of_job
    def no_spool(self, lease):
        if os.path.exists("FLAG"): raise RuntimeError("no spool today")
        return job_spool(self, lease)
    Spool.of_job = no_spool
"""


def test_a_fault_before_a_job_is_known_ends_that_job_alone(
    host_system: Hodei, hosts_folder: Path
) -> None:
    """Planted: its spool cannot be made."""
    flag = hosts_folder / "flag"
    (hosts_folder / "sitecustomize.py").write_text(FAULTY_START.replace("FLAG", str(flag)))
    one = make(host_system, hosts_folder, "ordinary", "faulty")
    before = one.environment.get("PYTHONPATH") or os.environ.get("PYTHONPATH", "")
    one.environment["PYTHONPATH"] = f"{hosts_folder}:{before}"
    one.up(host_system.token())
    try:
        other = one.submit("echo up; sleep 600")
        one.wrote(other, "up")
        flag.touch()
        job = one.finish("true")
        assert (job.state, job.reason, job.attempts) == ("FAILED", "INTERNAL", 1)
        assert "no spool today" in job.message
        flag.unlink()
        assert one.finish("echo on").text == "on\n"
        assert one.attempts(other) == ("RUNNING", 1)
        assert "closed its connection" not in one.log
    finally:
        one.stop()
