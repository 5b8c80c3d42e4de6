"""The command line on poor terminals, full disks and closed pipes, and with what hostile names
hold: a line of words, never a traceback."""

import json
import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hodei.domain.ids import uuid7
from tests.running import Hodei

ODD = "a\x1b]0;title\x07\x1b[31mred\x9b\n\u202ebé→"


def run(hodei: Hodei, command: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """By a shell, which redirects; `hodei` in it is the real program."""
    program = f"{sys.executable} -m hodei.cli.main --server {','.join(hodei.addresses)}"
    shell = f'hodei() {{ {program} "$@"; }}\n{command}'
    return subprocess.run(
        ["bash", "-c", shell],
        env={**os.environ, **more},
        capture_output=True,
        check=False,
        timeout=60,
    )


def odd_job(hodei: Hodei) -> str:
    """Straight into the table, as a database of the release before may hold it."""
    job_id = hodei.submit("--command", "true", "--label", f"nowhere={uuid.uuid4().hex}")
    hodei.sql(
        "UPDATE jobs SET name = %s, actor = %s, correlation_id = %s, message = %s WHERE id = %s",
        ODD,
        ODD,
        ODD,
        ODD,
        job_id,
    )
    hodei.sql("UPDATE domain_events SET actor = %s WHERE aggregate_id = %s", ODD, job_id)
    return job_id


def test_no_control_of_a_name_reaches_a_terminal(hodei: Hodei) -> None:
    job_id = odd_job(hodei)
    for command in (("job", "list"), ("job", "get", job_id), ("job", "timeline", job_id)):
        out = hodei.ok(*command).text
        assert all(line.isprintable() for line in out.split("\n")), out
        assert r"a\x1b]0;title\x07\x1b[31mred\x9b\n\u202ebé→" in out
    shown = hodei.ok("job", "get", job_id, "--format", "json").text.rstrip("\n")
    assert json.loads(shown)["name"] == ODD
    assert shown.isprintable()
    hodei.ok("job", "cancel", job_id)


def test_end_lines_and_errors_show_controls_escaped(hodei: Hodei) -> None:
    ended = hodei.run("job", "run", "--command", "true", "--workdir", "/no\x1b[31m/such\nfolder")
    assert ended.code == 125
    assert all(line.isprintable() for line in ended.err.split("\n")), ended.err
    assert r"/no\x1b[31m/such\nfolder" in ended.err
    refused = hodei.run("job", "list", "--state", "\x1b[31mRUNNING")
    assert refused.code == 2
    assert "\x1b" not in refused.err


@pytest.mark.parametrize(
    "terminal", [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}]
)
def test_a_terminal_without_unicode(hodei: Hodei, terminal: dict[str, str]) -> None:
    job_id = odd_job(hodei)
    for command in (
        "job list",
        f"job get {job_id}",
        f"job timeline {job_id}",
        "status",
        "worker list",
        "token list",
        "--help",
    ):
        ran = run(hodei, f"hodei {command}", **terminal)
        assert (ran.returncode, b"Traceback" in ran.stderr) == (0, False), ran
    listed = run(hodei, "hodei job list --format json", **terminal)
    (mine,) = [job for job in json.loads(listed.stdout) if job["job_id"] == job_id]
    assert mine["name"] == ODD, "JSON stays exact"
    ran = run(hodei, "hodei job run --name 'Grüße 日本' -- printf 'ñ→'", **terminal)
    assert (ran.returncode, ran.stdout) == (0, "ñ→".encode()), "a job's bytes are its own"
    hodei.ok("job", "cancel", job_id)


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "job list",
        "job list --format json",
        "--help",
        "--version",
        "job run -- echo hello",
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line(hodei: Hodei, command: str, unbuffered: str) -> None:
    hodei.submit("--command", "true")
    ran = run(hodei, f"hodei {command} >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert ran.returncode == 125
    lines = [line for line in ran.stderr.decode().splitlines() if not line.startswith("Job queued")]
    words = "cannot write the output: No space left on device"
    document = {"error": {"message": words, "kind": "failed", "exit_code": 125}}
    assert lines == [json.dumps(document) if "json" in command else f"Error: {words}"]
    assert run(hodei, "hodei job get nonsense 2>/dev/full").returncode in (2,)


@pytest.mark.parametrize("program", ["hodei_worker", "hodei.cli.server", "hodei.local.demo"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line_of_every_program(program: str, unbuffered: str) -> None:
    words = f"PYTHONUNBUFFERED={unbuffered} {sys.executable} -m {program} --help >/dev/full"
    shell = ["bash", "-c", words]
    ran = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 1
    assert ran.stderr == "Error: cannot write the output: No space left on device\n"


def test_a_full_disk_leaves_the_words_which_jobs_stand(
    fresh: Hodei, tmp_path: Path, submits: Path
) -> None:
    """Each id is lost, and what was asked for is done."""
    one = run(fresh, "hodei job submit --command true --format json >/dev/full")
    ((job_id,),) = fresh.sql("SELECT id::text FROM jobs")
    assert one.returncode == 125
    words = f"cannot write the output: No space left on device; job {job_id} is stored"
    assert json.loads(one.stderr)["error"]["message"] == words
    file = tmp_path / "specs.jsonl"
    file.write_text('{"command": "true"}\n' * 1200)
    many = run(fresh, f"hodei job submit --file {file} >/dev/full").stderr.decode()
    assert "1000 of 1200 jobs stand; the same command may be repeated" in many
    run(fresh, f"hodei job submit --file {file}")
    assert fresh.sql("SELECT count(*) FROM jobs") == [(1201,)]


def test_a_reader_that_has_gone_is_no_error(hodei: Hodei) -> None:
    for command in ("job list", "--help", "job run --command 'seq 300000'"):
        ran = run(
            hodei, f"set -o pipefail; hodei {command} | head -c 1; echo ${{PIPESTATUS[0]}} >&2"
        )
        said = ran.stderr.decode().splitlines()
        assert said[-1] in ("141", "0"), "0: all of it fitted into the pipe"
        usual = ("Job queued", "no jobs")
        assert [line for line in said[:-1] if not line.startswith(usual)] == []


def test_closed_streams(hodei: Hodei) -> None:
    assert run(hodei, "hodei status >&-").returncode == 0
    assert run(hodei, "hodei status 2>&- >/dev/null").returncode == 0
    nothing = run(hodei, "hodei job submit --file - <&-")
    assert nothing.returncode == 2
    assert b"Traceback" not in nothing.stderr
    assert run(hodei, "hodei job run --command 'echo x' >&-").returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        "job list --correlation-id $'\\xff'",
        "job list --state $'\\xff'",
        "job run --name $'\\xff' -- true",
        "job run -- echo $'\\xff'",
        "job get $'\\xff'",
        "worker revoke $'\\xff'",
        "token revoke $'\\xff'",
        "token create --worker-id $'\\xff'",
        "job submit --file $'/no/such/\\xff'",
        "token create --ttl 99999999999999999999d",
        "job run --env $'A=\\xff' -- true",
        "job run --run-at 0001-01-01T00:00:00+14:00 -- true",
        "job run --priority 99999999999999999999 -- true",
        "job run --timeout 99999999999999999999999999999 -- true",
        "job logs --attempt 99999999999999999999 $ID",
        "job run --retries -1 -- true",
        "job list --before $'\\xff'",
        "job run --script /dev/zero",
        "job run --stdin /proc/self/mem -- true",
    ],
)
def test_odd_arguments_are_refused_in_words(hodei: Hodei, command: str) -> None:
    ran = run(hodei, f"ID={uuid7()}; hodei {command}")
    assert ran.returncode in (2, 125), ran
    said = ran.stderr.decode()
    assert "Traceback" not in said
    assert "internal error" not in said
    assert "Error: " in said
    assert all(line.isprintable() for line in said.split("\n")), said


ODD_ADDRESSES = (
    "²:²",
    "h ost:1",
    "host:99999",
    "[::1:1",
    "\x1b[31m:1",
    "a,b",
    "127.0.0.1:1,,",
    "\n:1",
)


def test_odd_addresses_are_refused_in_words() -> None:
    """All at once: some are looked for during five seconds."""

    def ask(address: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "hodei.cli.main", "--server", address, "status"]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    with ThreadPoolExecutor(len(ODD_ADDRESSES)) as pool:
        for ran in pool.map(ask, ODD_ADDRESSES):
            assert ran.returncode in (2, 125), ran
            assert "Traceback" not in ran.stderr
            assert "\x1b" not in ran.stderr
