"""Logs: to the byte, live, resumable, bounded."""

import hashlib
import subprocess
import sys
import time

import pytest

from tests.running import Hodei


@pytest.mark.parametrize(
    ("what", "python"),
    [
        ("no newline", r"b'x'"),
        ("NUL and 0xFF", r"b'a\0b\xff\xfe\n\0'"),
        ("a 200 KB line", r"b'z' * 200_000"),
        ("ANSI", r"b'\x1b[31mred\x1b[0m\r\n'"),
        ("every byte", r"bytes(range(256)) * 1000"),
    ],
)
def test_bytes_are_kept_as_they_were_written(hodei: Hodei, what: str, python: str) -> None:
    program = (
        f"import sys; sys.stdout.buffer.write({python}); sys.stderr.buffer.write(({python})[::-1])"
    )
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "hodei.cli.main",
            "--server",
            hodei.addresses[0],
            "job",
            "run",
            "--",
            sys.executable,
            "-c",
            program,
        ],
        capture_output=True,
        check=True,
        timeout=30,
    )
    expected = eval(python)
    assert ran.stdout == expected
    assert ran.stderr.split(b"\n", 1)[1] == expected[::-1]


def test_a_hundred_thousand_lines_are_all_there_once_and_in_order(hodei: Hodei) -> None:
    ran = hodei.ok("job", "run", "--command", "seq 1 100000")
    assert (
        hashlib.sha256(ran.out).digest()
        == hashlib.sha256(b"".join(b"%d\n" % n for n in range(1, 100_001))).digest()
    )
    job_id = ran.err.splitlines()[0].rsplit(" ", 1)[1]
    assert hodei.job(job_id)["logs_complete"] is True
    rows = hodei.sql(
        "SELECT seq, byte_offset, first_line, data FROM job_logs WHERE job_id = %s ORDER BY seq",
        job_id,
    )
    offset, line = 0, 1
    for number, (seq, byte_offset, first_line, data) in enumerate(rows):
        assert (seq, byte_offset, first_line) == (number, offset, line)
        offset, line = offset + len(data), line + bytes(data).count(b"\n")
    assert max(len(row[3]) for row in rows) <= 65536


def test_a_live_tail_is_less_than_half_a_second_behind_through_any_server(hodei: Hodei) -> None:
    program = (
        "import time\nfor _ in range(5):\n    print(time.time(), flush=True)\n    time.sleep(0.3)"
    )
    for server in (0, 1):
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "hodei.cli.main",
                "--server",
                hodei.addresses[server],
                "job",
                "run",
                "--",
                sys.executable,
                "-c",
                program,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout
        behind = [time.time() - float(line) for line in process.stdout]
        assert process.wait(10) == 0
        assert len(behind) == 5
        assert sorted(behind)[2] < 0.5, behind


def test_following_a_finished_job_gives_all_and_ends(hodei: Hodei) -> None:
    job_id = hodei.submit("--command", "echo 1; echo 2 >&2")
    hodei.finish(job_id)
    for server in (0, 1):
        ran = hodei.ok("job", "logs", "-f", job_id, server=server)
        assert (ran.text, ran.err) == ("1\n", "2\n")


def test_reading_resumes_at_a_cursor(hodei: Hodei) -> None:
    import grpc

    from hodei.protocol import hodei_pb2 as pb
    from hodei.protocol import hodei_pb2_grpc

    job_id = hodei.submit("--command", "for n in 1 2 3; do echo $n; sleep 0.2; done")
    hodei.finish(job_id)
    with grpc.insecure_channel(hodei.addresses[1]) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        whole = [c for m in stub.ReadLogs(pb.ReadLogsRequest(job_id=job_id)) for c in m.chunks]
        assert len(whole) == 3
        cursor = f"{whole[0].lease}.{whole[0].seq}"
        rest = [
            c
            for m in stub.ReadLogs(pb.ReadLogsRequest(job_id=job_id, cursor=cursor))
            for c in m.chunks
        ]
    assert rest == whole[1:]


def test_the_log_limit_keeps_the_first_and_the_last_part_and_says_what_is_between(
    hodei: Hodei,
) -> None:
    ran = hodei.ok(
        "job",
        "run",
        "--log-limit",
        "1000",
        "--command",
        "yes | head -c 200000; echo the end >&2; exit 0",
    )
    assert len(ran.out) <= 1000 - len("the end\n")
    assert "bytes left out]" in ran.err
    assert "the end" in ran.err
    job_id = ran.err.splitlines()[0].rsplit(" ", 1)[1]
    asked = "SELECT log_bytes, log_bytes + log_dropped_bytes, logs_complete FROM jobs WHERE id = %s"
    ((kept, written, complete),) = hodei.sql(asked, job_id)
    assert (900 < kept <= 1000, written, complete) == (True, 200_008, True)


def test_a_slow_reader_slows_nobody(hodei: Hodei) -> None:
    """A follower that reads nothing while its job writes 20 MB: the job ends, and others run."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "hodei.cli.main",
            "--server",
            hodei.addresses[0],
            "job",
            "run",
            "--command",
            "yes | head -c 20000000",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    assert process.stdout
    job_id = process.stderr.readline().decode().rsplit(" ", 1)[1].strip()
    hodei.until(job_id, "SUCCEEDED")
    assert hodei.ok("job", "run", "--command", "echo other").text == "other\n"
    out, _ = process.communicate(timeout=30)
    assert len(out) == 20_000_000
