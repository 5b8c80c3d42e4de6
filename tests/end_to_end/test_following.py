"""Who follows a job: how it ends with the job, and how it leaves a job that runs on."""

import fcntl
import io
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest

from tests.eventually import eventually
from tests.running import Hodei

UP = "echo up; trap 'echo term; exit 9' TERM; while :; do sleep 0.1; done"


@contextmanager
def following(hodei: Hodei, *arguments: str, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The real program, with default signals whatever the tests themselves ignore."""

    def defaults() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if more.get("start_new_session") and os.isatty(0):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    streams: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "hodei.cli.main", "--server", ",".join(hodei.addresses), *arguments],
        preexec_fn=defaults,  # noqa: PLW1509
        **(streams | more),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def id_of(err: IO[bytes] | None) -> str:
    assert err
    return err.readline().decode().rsplit(" ", 1)[1].strip()


def next_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr
    return process.stderr.readline().decode()


def up(process: subprocess.Popen[bytes]) -> str:
    """The id of its job, which is running."""
    job_id = id_of(process.stderr)
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    return job_id


def test_a_job_that_others_cancel_ends_it_with_125_and_the_reason(hodei: Hodei) -> None:
    with following(hodei, "job", "run", "--command", UP) as process:
        job_id = up(process)
        hodei.ok("job", "cancel", job_id, server=1)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (125, b"term\n")
    assert f"hodei: job {job_id} CANCELLED (CANCELLED: " in err.decode()


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "the job runs on"),
        (signal.SIGTERM, 143, "ended by SIGTERM; the job runs on"),
        (signal.SIGHUP, 129, "ended by SIGHUP; the job runs on"),
    ],
)
def test_a_signal_leaves_the_job_running_and_says_how_to_come_back(
    hodei: Hodei, number: int, code: int, words: str
) -> None:
    gate = hodei.folder / f"gate-{number}"
    waits = f"echo up; until [ -e {gate} ]; do sleep 0.1; done; echo end; exit 4"
    with following(hodei, "job", "run", "--command", waits, start_new_session=True) as process:
        job_id = up(process)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert words in err.decode()
    assert "another Ctrl-C" not in err.decode(), "there is no terminal for one"
    assert f"hodei job logs -f {job_id}\n" in err.decode()
    assert f"hodei job cancel {job_id}" in err.decode()
    gate.touch()
    ran = hodei.run("job", "logs", "-f", "--exit-code", job_id)
    assert (ran.code, ran.text) == (4, "up\nend\n")
    assert ran.err == f"hodei: job {job_id} FAILED (EXIT_NONZERO: exit code 4)\n"
    assert hodei.run("job", "logs", "-f", job_id).code == 0


@contextmanager
def in_a_terminal(
    hodei: Hodei, *arguments: str
) -> Iterator[tuple[subprocess.Popen[bytes], io.FileIO]]:
    """The program and the other side of its terminal."""
    ours, theirs = pty.openpty()
    with io.FileIO(ours, "r+") as terminal:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        with following(hodei, *arguments, start_new_session=True, **streams) as process:
            os.close(theirs)
            yield process, terminal


def read_until(terminal: io.FileIO, words: str) -> str:
    """What the terminal shows, up to these words."""
    shown = b""
    while words.encode() not in shown:
        shown += terminal.read(4096) or b""
    return shown.decode()


def test_a_terminal_that_hangs_up_ends_it(hodei: Hodei) -> None:
    with in_a_terminal(hodei, "job", "run", "--command", UP) as (process, terminal):
        job_id = read_until(terminal, "up\r\n").split()[3]
        terminal.close()
        assert process.wait(10) == 129
    assert hodei.job(job_id)["state"] == "RUNNING"
    hodei.ok("job", "cancel", job_id)


def test_a_second_ctrl_c_cancels_the_job(hodei: Hodei) -> None:
    with in_a_terminal(hodei, "job", "run", "--command", UP) as (process, terminal):
        job_id = read_until(terminal, "up\r\n").split()[3]
        terminal.write(b"\x03")
        read_until(terminal, "or by another Ctrl-C within 2 s")
        assert hodei.job(job_id)["state"] == "RUNNING"
        terminal.write(b"\x03")
        read_until(terminal, "cancel of job")
        assert process.wait(10) == 130
    assert hodei.finish(job_id)["state"] == "CANCELLED"


def test_ctrl_c_cancels_at_once_where_that_is_asked_for(hodei: Hodei) -> None:
    arguments = ("job", "run", "--cancel-on-interrupt", "--command", UP)
    with in_a_terminal(hodei, *arguments) as (process, terminal):
        job_id = read_until(terminal, "up\r\n").split()[3]
        terminal.write(b"\x03")
        said = read_until(terminal, f"job {job_id} CANCELLED")
        assert process.wait(10) == 130
    assert "term\r\n" in said, "the output goes on to the job's end"


def test_logs_as_json_are_a_line_each_as_they_come(hodei: Hodei) -> None:
    gate = hodei.folder / "gate-json"
    job_id = hodei.submit(
        "--command", f"echo a; echo b; until [ -e {gate} ]; do sleep 0.1; done; echo c; echo e >&2"
    )
    with following(hodei, "job", "logs", "-f", job_id, "--format", "json") as process:
        assert process.stdout
        first = json.loads(process.stdout.readline())
        gate.touch()
        rest = [json.loads(line) for line in process.stdout.read().splitlines()]
        assert process.wait(10) == 0
    chunks = [first, *rest]
    assert {chunk["job_id"] for chunk in chunks} == {job_id}
    attempts = hodei.ok("job", "attempts", job_id, "--format", "json").json
    assert {chunk["lease"] for chunk in chunks} == {attempts[0]["lease"]}
    found = sorted((c["stream"], c["byte_offset"], c["first_line"], c["text"]) for c in chunks)
    assert found == [("stderr", 0, 1, "e\n"), ("stdout", 0, 1, "a\nb\n"), ("stdout", 4, 3, "c\n")]


def test_exit_code_wants_a_job_that_is_followed(hodei: Hodei) -> None:
    ran = hodei.run("job", "logs", "--exit-code", hodei.submit("--command", "true"))
    assert ran.code == 2
    assert "--exit-code: expected -f with it" in ran.err


def test_parts_of_a_log(hodei: Hodei) -> None:
    job_id = hodei.submit("--command", "seq 1 50000; seq 1 9 >&2; echo last", "--retries", "0")
    hodei.finish(job_id)
    ran = hodei.ok("job", "logs", "--tail", "2", job_id)
    assert (ran.text, ran.err) == ("50000\nlast\n", "8\n9\n")
    ran = hodei.ok("job", "logs", "-f", "--tail", "0", "--attempt", "1", job_id)
    assert (ran.text, ran.err) == ("", "")
    assert hodei.ok("job", "logs", "--since", "1h", job_id).text.endswith("\n50000\nlast\n")
    assert hodei.ok("job", "logs", "--since", "2100-01-01T00:00:00Z", job_id).text == ""
    missing = hodei.run("job", "logs", "--attempt", "9", job_id)
    assert missing.code != 0
    assert missing.err == f"Error: no attempt 9 of job {job_id}: it has only attempt 1\n"
    for wrong in (("--since", "yesterday"), ("--tail", "-1")):
        ran = hodei.run("job", "logs", *wrong, job_id)
        assert (ran.code, wrong[1] in ran.err) == (2, True), ran


def test_the_last_lines_are_followed(hodei: Hodei) -> None:
    gate = hodei.folder / "gate-tail"
    waits = f"seq 1 1000; until [ -e {gate} ]; do sleep 0.1; done; echo end"
    job_id = hodei.submit("--command", waits)
    hodei.wrote(job_id, "1000\n")
    with following(hodei, "job", "logs", "-f", "--tail", "1", job_id) as process:
        assert process.stdout
        assert process.stdout.readline() == b"1000\n"
        gate.touch()
        assert process.stdout.read() == b"end\n"


def test_why_a_job_waits_is_told(fresh: Hodei) -> None:
    """Nobody has the label; then somebody has it, and others are before it."""
    nobody = ("job", "run", "--label", "gpu=a100", "--command", "echo ran")
    with following(fresh, *nobody) as process:
        job_id = id_of(process.stderr)
        said = f"hodei: job {job_id} waits for "
        assert next_line(process) == f"{said}a worker: none is connected\n"
        fresh.stack.worker(
            "w3", fresh.addresses[0], fresh.folder / "w3", fresh.token(), "--name", "w3"
        )
        assert next_line(process) == f"{said}a worker with gpu=a100: the nearest, w3, lacks it\n"
        gate = fresh.folder / "gate"
        busy = ("--label", "gpu=a100", "--priority", "9", "--command")
        fresh.submit(*busy, f"until [ -e {gate} ]; do sleep 0.1; done")
        fresh.submit(*busy, "true")
        fresh.stack.worker(
            "w4",
            fresh.addresses[0],
            fresh.folder / "w4",
            fresh.token(),
            *("--slots", "1", "--label", "gpu=a100"),
        )
        slot = "a free slot: the only slot of the workers that fit is busy, 1 job before it\n"
        while (line := next_line(process)) != f"{said}{slot}":
            assert line.startswith(f"{said}its turn")  # before the worker has said that it is busy
        assert fresh.job(job_id)["waiting_for"].endswith(", 1 job before it")
        gate.touch()
        assert process.communicate(timeout=30)[0] == b"ran\n"
    assert process.returncode == 0


def test_a_slow_follower_whose_server_dies_gets_every_byte_and_the_end(fresh: Hodei) -> None:
    """The job ends while the follower has no server."""
    fresh.stack.worker("worker", ",".join(fresh.addresses), fresh.folder / "w", fresh.token())
    gate = fresh.folder / "gate"
    lines = f"seq 1 300000; until [ -e {gate} ]; do sleep 0.1; done; printf end; exit 6"
    job_id = fresh.submit("--command", lines)
    fresh.wrote(job_id, "\n300000\n")
    with following(fresh, "job", "logs", "-f", "--exit-code", job_id) as process:
        assert process.stdout
        assert process.stdout.readline() == b"1\n"
        fresh.stack.parts[0].process.kill()
        gate.touch()
        fresh.finish(job_id, server=1)
        assert process.stderr
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait(20) == 6
    assert out == b"".join(b"%d\n" % n for n in range(2, 300_001)) + b"end"
    assert f"hodei: job {job_id} FAILED (EXIT_NONZERO: exit code 6)\n" in err.decode()


def test_a_job_that_is_deleted_while_it_is_followed(hodei: Hodei) -> None:
    gate = hodei.folder / "gate-deleted"
    job_id = hodei.submit("--command", f"echo up; until [ -e {gate} ]; do sleep 0.1; done")
    hodei.wrote(job_id, "up\n")
    with following(hodei, "job", "logs", "-f", job_id) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        hodei.sql("DELETE FROM jobs WHERE id = %s", job_id)
        _, err = process.communicate(timeout=20)
    assert f"job {job_id} has been deleted meanwhile: its end is not known" in err.decode()
    assert process.returncode == 125
    gate.touch()


def test_a_long_line_of_any_bytes_is_the_last_line(hodei: Hodei) -> None:
    program = "import sys; sys.stdout.buffer.write(b'a\\n' + bytes(range(11, 256)) * 40_000)"
    job_id = hodei.submit("--", sys.executable, "-c", program)
    hodei.finish(job_id)
    assert hodei.ok("job", "logs", "--tail", "1", job_id).out == bytes(range(11, 256)) * 40_000


def test_json_into_a_closed_pipe_ends_quietly(hodei: Hodei) -> None:
    job_id = hodei.submit("--command", "yes | head -c 3000000")
    hodei.finish(job_id)
    with following(hodei, "job", "logs", "-f", "--format", "json", job_id) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == b""
        assert process.wait(20) == 141


def test_a_signal_ends_it_while_nobody_reads_its_output(hodei: Hodei) -> None:
    job_id = hodei.submit("--command", "yes | head -c 3000000; sleep 60")
    hodei.until(job_id, "RUNNING")
    with following(hodei, "job", "logs", "-f", job_id) as process:
        assert process.stdout
        process.stdout.read(1)
        eventually(lambda: waits_in_pipe(process.stdout) > FULL_PIPE)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        assert process.stderr
        assert f"hodei job logs -f {job_id}" in process.stderr.read().decode()
    hodei.ok("job", "cancel", job_id)


FULL_PIPE = 60_000
"""Bytes of a pipe to which no further write of 8 KiB fits."""


def waits_in_pipe(pipe: Any) -> int:
    """The bytes that nobody has read."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)
