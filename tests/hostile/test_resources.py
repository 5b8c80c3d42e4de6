"""Disk full, memory short, clocks that jump: the job fails with that reason or waits, and the
process stays."""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hodei.local import child, own_python
from hodei.local.embedded_postgres import EmbeddedPostgres
from hodei.local.stack import Stack
from hodei_worker.supervisor import kin
from tests.end_to_end.test_deaths import supervisor_of
from tests.eventually import eventually
from tests.hostile.test_postgres import server_of
from tests.running import Hodei, start
from verify.checker import violations

ROOT = os.geteuid() == 0


# ── disk ──


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        not ROOT
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=False
        ).returncode
    ):
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=False)


def test_a_full_disk_fails_the_job_with_that_reason_and_the_worker_stays(
    one: Hodei, small_disk: Path
) -> None:
    part = one.stack.worker(
        "worker", one.addresses[0], small_disk / "w", one.token(), "--log-limit", "0"
    )
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (8 << 20))
    loud = one.submit("--command", "yes | head -c 50000000")
    with psycopg.connect(one.url) as busy:  # nothing is taken off the worker's disk meanwhile
        busy.execute("LOCK TABLE job_logs IN EXCLUSIVE MODE")
        time.sleep(3)
    job = one.finish(loud)
    assert (job["state"], job["reason"]) == ("FAILED", "LIMIT_EXCEEDED")
    assert "disk is full" in job["message"]
    assert 0 < job["log_bytes"] < 50_000_000

    subprocess.run(
        ["sh", "-c", f"cat /dev/zero >>{ballast}"], check=False, capture_output=True
    )  # to the last byte
    job = one.finish(one.submit("--script", "-", stdin=b"true\n"))
    assert (job["state"], job["reason"]) == ("FAILED", "START_FAILED")
    assert "No space left on device" in job["message"]

    ballast.unlink()
    assert one.ok("job", "run", "--command", "echo room").text == "room\n"
    assert not part.ended
    assert violations(one.conn) == []
    one.stack.stop()


@pytest.mark.unprivileged
def test_programs_whose_own_log_cannot_be_written_work_on(one: Hodei) -> None:
    Stack.stop_part(one.stack.parts.pop(0))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HODEI_")}
    environment |= own_python.environment()
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        server = subprocess.Popen(
            child.wrapped(own_python.command("hodei.cli.server", "--grpc", one.addresses[0])),
            env=environment | {"DATABASE_URL": one.url},
            stdout=full,
            stderr=full,
        )
        flags = [
            "--server",
            one.addresses[0],
            "--state-dir",
            str(one.folder / "w"),
            "--on-worker-exit",
            "kill",
        ]
        worker = subprocess.Popen(
            child.wrapped(own_python.command("hodei_worker", *flags)),
            env=environment | {"HODEI_OTP_TOKEN": one.token()},
            stdout=full,
            stderr=full,
        )
    try:
        eventually(lambda: one.sql("SELECT state FROM workers") == [("READY",)], 30)
        assert one.ok("job", "run", "--command", "echo quiet", server=0).text == "quiet\n"
        assert (server.poll(), worker.poll()) == (None, None)
    finally:
        for process in (worker, server):
            process.terminate()
            process.wait(30)


# ── memory ──


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A memory cgroup of 100 MB (version 1 or 2)."""
    name = f"hodei-test-{uuid.uuid4().hex[:8]}"
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / name
        try:
            group.mkdir()
            (group / limit).write_text(str(100 << 20))
        except OSError:
            if group.exists():
                group.rmdir()
            continue
        yield group
        eventually(lambda group=group: not (group / "cgroup.procs").read_text())  # type: ignore[misc]
        group.rmdir()
        return
    pytest.skip("no memory cgroup can be made here")


def test_a_job_that_eats_the_memory_is_killed_with_that_reason_and_the_worker_stays(
    one: Hodei, small_memory: Path
) -> None:
    state = one.folder / "w"
    part = one.stack.worker("worker", one.addresses[0], state, one.token())
    supervisor = supervisor_of(state)
    for pid in (part.process.pid, supervisor, *kin.children(supervisor)):
        (small_memory / "cgroup.procs").write_text(str(pid))
    job = one.finish(one.submit("--", "python3", "-c", "x = bytearray(400 << 20)"))
    assert (job["state"], job["reason"], job["signal"]) == ("FAILED", "OOM_KILLED", 9)
    child = "python3 -c 'x = bytearray(400 << 20)'; exit $?"
    job = one.finish(one.submit("--command", child))
    assert (job["reason"], job["exit_code"]) == ("OOM_KILLED", 137), "a child of the shell"
    time.sleep(3.5)
    job = one.finish(one.submit("--command", "exit 137"))
    assert job["reason"] == "EXIT_NONZERO", "137 alone is no sign"
    assert not part.ended
    assert one.ok("job", "run", "--command", "echo alive").text == "alive\n"
    ran = one.run("job", "run", "--", "python3", "-c", "x = bytearray(400 << 20)")
    assert (ran.code, "OOM_KILLED" in ran.err) == (137, True)
    job = one.finish(one.submit("--command", "kill -9 $$"))
    assert job["reason"] == "SIGNALED", "nobody was short of memory then"
    one.stack.stop()


# ── clocks ──


@pytest.fixture
def faked(tmp_path: Path, open_folder: Path) -> tuple[Path, dict[str, str]]:
    """A file with the offset of the wall clock, and the environment under which programs see it."""
    found = [
        *Path("/usr/lib").glob("*/faketime/libfaketime.so.1"),
        *Path("/usr/lib64").glob("faketime/libfaketime.so.1"),
    ]
    if not found:
        pytest.skip("no libfaketime on this machine (on Debian: apt install faketime)")
    offset = open_folder / "offset"
    offset.write_text("+0")
    offset.chmod(0o644)
    return offset, {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }


def counting(hodei: Hodei) -> str:
    return hodei.submit(
        "--command", "n=0; while [ $n -lt 80 ]; do n=$((n + 1)); echo $n; sleep 0.1; done"
    )


def expect_undisturbed(hodei: Hodei, job_id: str) -> None:
    job = hodei.finish(job_id)
    assert (job["state"], job["attempts"], job["logs_complete"]) == ("SUCCEEDED", 1, True)
    assert hodei.sql(
        """
        SELECT count(*)
        FROM domain_events
        WHERE payload->>'new_status' IN ('Unreachable', 'Terminated')
        """
    ) == [(0,)]
    assert violations(hodei.conn, undisturbed=True) == []


@pytest.mark.parametrize("jump", ["+600", "-600"])
def test_clocks_of_server_and_worker_that_jump_by_10_minutes_disturb_nothing(
    one: Hodei, faked: tuple[Path, dict[str, str]], jump: str
) -> None:
    offset, environment = faked
    for part in one.stack.parts[:]:
        Stack.stop_part(part)
    one.stack.parts.clear()
    one.addresses = [one.stack.server("faked", one.url, environment=environment)]
    one.stack.worker(
        "worker", one.addresses[0], one.folder / "w", one.token(), environment=environment
    )
    job_id = counting(one)
    one.until(job_id, "RUNNING")
    offset.write_text(jump)
    assert one.ok("job", "run", "--timeout", "30", "--command", "echo now").text == "now\n"
    time.sleep(3)
    expect_undisturbed(one, job_id)


@pytest.fixture
def faked_postgres(
    open_folder: Path, faked: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedPostgres]:
    """Its programs are the usual ones; `postgres` sees the faked clock."""
    with EmbeddedPostgres(open_folder / "plain", durable=False) as plain:
        real = plain.programs  # that its user can reach
    programs = open_folder / "bin"
    programs.mkdir()
    for program in real.iterdir():
        if program.name != "postgres":
            (programs / program.name).symlink_to(program)
    words = " ".join(f"{key}={value}" for key, value in faked[1].items())
    (programs / "postgres").write_text(f'#!/bin/sh\nexec env {words} {real}/postgres "$@"\n')
    for path in (open_folder, programs, programs / "postgres"):
        path.chmod(0o755)
    monkeypatch.setenv("HODEI_PG_BIN", str(programs))
    with EmbeddedPostgres(open_folder / "pg", durable=False) as database:
        yield database


@pytest.mark.parametrize("jump", ["+600", "-600"])
def test_the_databases_clock_that_jumps_by_10_minutes_loses_nobody(
    tmp_path: Path, faked: tuple[Path, dict[str, str]], faked_postgres: EmbeddedPostgres, jump: str
) -> None:
    """Rule 6: nobody listened during those ten minutes. And the events of a job stay in order."""
    hodei = start(server_of(faked_postgres.dsn()), tmp_path)
    try:
        hodei.stack.worker("worker", ",".join(hodei.addresses), tmp_path / "w", hodei.token())
        job_id = counting(hodei)
        hodei.until(job_id, "RUNNING")
        ((before,),) = hodei.sql("SELECT clock_timestamp()")
        faked[0].write_text(jump)
        ((after,),) = hodei.sql("SELECT clock_timestamp()")
        assert abs(abs((after - before).total_seconds()) - 600) < 5, "it did jump"
        assert hodei.ok("job", "run", "--timeout", "30", "--command", "echo now").text == "now\n"
        expect_undisturbed(hodei, job_id)
    finally:
        hodei.stack.stop()
        hodei.conn.close()
