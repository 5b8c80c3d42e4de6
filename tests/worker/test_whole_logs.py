"""A log is whole or says where not: through real workers of each kind."""

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.hosts import make
from tests.running import Hodei
from tests.worker_process import Worker

pytestmark = pytest.mark.unprivileged

SEQ = "seq 100000 199999"  # 700,000 bytes in lines of seven


def test_the_first_and_the_last_part_of_a_log_over_its_limit_are_kept(worker: Worker) -> None:
    job = worker.finish(f"{SEQ}; echo FATAL the real reason >&2; exit 3", log_limit=300_000)
    out = worker.text(job.id, 1)
    first, last = out[: out.index("\n1999") // 2], worker.text(job.id, 2)
    assert first.startswith("100000\n100001\n")
    assert last == "FATAL the real reason\n"
    assert out.endswith("199998\n199999\n")
    numbers = list(map(int, out.splitlines()))
    (at,) = [n for n in range(1, len(numbers)) if numbers[n] != numbers[n - 1] + 1]
    assert at * 7 == pytest.approx(300_000 - 65_536, abs=14)
    assert worker.text(job.id, 3) == f"[{job.dropped} bytes left out]\n"
    assert (job.reason, job.complete) == ("EXIT_NONZERO", True)
    assert job.log_bytes + job.dropped == 700_000 + len(last)
    assert 299_000 < job.log_bytes <= 300_000


def test_people_see_what_was_left_out(worker: Worker) -> None:
    ran = worker.run("--log-limit", "60", "--command", "seq 1 100; echo FATAL >&2; exit 3")
    assert ran.code == 3
    found = re.search(r"hodei: \[(\d+) bytes left out\]", ran.err)
    assert found
    assert "FATAL\n" in ran.err
    assert ran.err.splitlines()[-1].endswith(
        f"(EXIT_NONZERO: exit code 3); {found[1]} bytes of its log were left out"
    )
    job_id = ran.err.splitlines()[0].rsplit(" ", 1)[1]
    assert f", {found[1]} B left out" in worker.hodei.ok("job", "get", job_id).text
    assert worker.hodei.ok("job", "get", job_id, "--format", "json").json[
        "log_dropped_bytes"
    ] == int(found[1])


def test_of_one_that_succeeds_too(worker: Worker) -> None:
    ran = worker.run("--log-limit", "60", "--command", "seq 1 100")
    assert ran.code == 0
    assert re.fullmatch(
        r"hodei: job \S+ SUCCEEDED; \d+ bytes of its log were left out", ran.err.splitlines()[-1]
    )


def test_the_smaller_of_the_workers_and_the_jobs_limit_holds(
    hosts_folder: Path, host_system: Hodei
) -> None:
    one = make(
        host_system,
        hosts_folder,
        "root" if os.geteuid() == 0 else "ordinary",
        "limited",
        "--log-limit",
        "1000",
    )
    one.up(host_system.token())
    try:
        for asked, kept in ((None, 1000), (0, 1000), (5000, 1000), (300, 300)):
            job = one.finish(
                "yes | head -c 20000", **({} if asked is None else {"log_limit": asked})
            )
            assert (job.log_bytes, job.dropped) == (kept, 20_000 - kept), asked
    finally:
        one.stop()


def tails(worker: Worker) -> str:
    """What is on the worker's disk of the ends of logs over their limits."""
    paths = (worker.state / "spool").glob("*.tail*")
    return "".join(path.read_text(errors="replace") for path in paths)


def test_a_supervisor_that_dies_leaves_the_tail(host_system: Hodei, hosts_folder: Path) -> None:
    """What came last before its death is told, behind a notice of what is missing."""
    one = make(host_system, hosts_folder, "root" if os.geteuid() == 0 else "ordinary", "dying")
    one.up(host_system.token())
    try:
        mark = "/tmp" if one.kind == "root" else str(one.state.parent)
        job_id = one.submit(
            f"{SEQ}; touch {mark}/$HODEI_JOB_ID; sleep 300", log_limit=300_000, on_lost="fail"
        )
        eventually((Path(mark) / job_id).exists, 30)
        Path(mark, job_id).unlink()
        eventually(lambda: one.text(job_id).startswith("100000\n"), 30)
        eventually(lambda: "199999\n" in tails(one), 30)
        one.kill()
        one.up()
        job = one.ended(job_id)
        assert (job.reason, job.complete) == ("WORKER_LOST", False)
        out = one.text(job_id, 1)
        assert out.endswith("199998\n199999\n")
        assert one.text(job_id, 3) == f"[{700_000 - len(out)} bytes left out]\n"
        assert all(line.isdigit() and len(line) == 6 for line in out.splitlines())
    finally:
        one.stop()


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


# ── a full disk ──


@pytest.fixture
def on_a_small_disk(host_system: Hodei, hosts_folder: Path) -> Iterator[Worker]:
    small = hosts_folder / "root"
    small.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)]
    if os.geteuid() or subprocess.run(mounted, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    one = make(host_system, hosts_folder, "root", "small")
    one.up(host_system.token())
    yield one
    one.stop()
    subprocess.run(["umount", "-l", str(small)], check=False)


FILL = "dd if=/dev/zero of=big bs=64k count=400 2>/dev/null; "


@pytest.mark.parametrize(
    ("end", "reason"),
    [("", "LIMIT_EXCEEDED"), ("exit 5", "EXIT_NONZERO"), ("kill -9 $$", "SIGNALED")],
)
def test_a_log_that_the_disk_did_not_take_is_not_whole(
    on_a_small_disk: Worker, end: str, reason: str
) -> None:
    one = on_a_small_disk
    job = one.finish(FILL + "seq 1 5000; echo the important result: 42; " + end)
    assert (job.state, job.reason, job.complete) == ("FAILED", reason, False)
    assert job.log_bytes + job.dropped == 23_893 + 25
    assert job.dropped > 0
    assert f"{job.dropped} bytes of its log are lost: the worker's disk was full" in job.message
    assert f"[{job.dropped} bytes left out: the worker's disk was full]\n" in job.text
    shown = one.hodei.ok("job", "get", job.id).text
    assert f", {job.dropped} B left out, incomplete" in shown
    assert one.finish("echo the next").text == "the next\n"


def test_a_gap_in_the_middle_is_told_where_it_is(on_a_small_disk: Worker) -> None:
    job = on_a_small_disk.finish(
        f"trap 'sleep 1; rm big; sleep 1; echo after; exit 0' TERM; echo before; sleep 1; {FILL} "
        "seq 10000 14999; sleep 30 & wait"
    )
    found = re.findall(r"\[(\d+) bytes left out: the worker's disk was full\]\n", job.text)
    assert sum(map(int, found)) == job.dropped > 0
    assert job.text.startswith("before\n")
    assert job.text.endswith("after\n")
    assert (job.reason, job.complete) == ("LIMIT_EXCEEDED", False)
    rows = on_a_small_disk.hodei.sql(
        """
        SELECT byte_offset, first_line, data
        FROM job_logs
        WHERE job_id = %s
          AND stream = 1
        ORDER BY seq
        """,
        job.id,
    )
    whole = b"before\n" + b"".join(b"%d\n" % n for n in range(10_000, 15_000)) + b"after\n"
    for offset, line, data in rows:
        assert whole[offset : offset + len(data)] == data
        assert line == 1 + whole[:offset].count(b"\n")


# ── the order of the two streams ──


def test_lines_of_both_streams_come_in_order(worker: Worker) -> None:
    command = "for i in $(seq 20); do echo out$i; sleep 0.03; echo err$i >&2; sleep 0.03; done"
    expected = [f"{kind}{n}" for n in range(1, 21) for kind in ("out", "err")]
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: worker.submit(command), range(8)))
    for job_id in jobs:
        job = worker.ended(job_id)
        assert job.text.split() == expected


def test_chatter_on_both_streams_makes_few_chunks(worker: Worker) -> None:
    job = worker.finish("i=0; while [ $i -lt 3000 ]; do echo out; echo err >&2; i=$((i+1)); done")
    ((chunks, seconds),) = worker.hodei.sql(
        """
        SELECT count(*), extract(epoch FROM max(read_at) - min(read_at))
        FROM job_logs
        WHERE job_id = %s
        """,
        job.id,
    )
    assert job.log_bytes == 24_000
    assert chunks <= 2 * (float(seconds) / 0.02 + 2)


# ── as JSON ──


def test_as_json_no_character_and_no_byte_is_damaged(worker: Worker) -> None:
    ends = "head -c 65535 /dev/zero | tr '\\0' x; printf 'é'; head -c 10 /dev/zero | tr '\\0' y"
    job = worker.finish(f"{ends}; printf 'raw\\377' >&2")
    said = worker.hodei.ok("job", "logs", "--format", "json", job.id).text
    found = [json.loads(line) for line in said.splitlines()]
    out = "".join(one["text"] for one in found if one["stream"] == "stdout")
    assert out == "x" * 65_535 + "é" + "y" * 10
    (err,) = [one for one in found if one["stream"] == "stderr"]
    assert base64.b64decode(err["data_base64"]) == b"raw\xff"
    assert err["text"] is None
