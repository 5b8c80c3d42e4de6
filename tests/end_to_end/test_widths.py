"""Every command that prints tables, in real terminals of 40, 80 and 200 columns: with long and wide
names and each state of jobs, workers and tokens. What must not be cut is whole, no line is broken."""

import os
import pty
import re
import subprocess
import sys
import termios
import unicodedata
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei.domain.job import JobState
from hodei.domain.token import TokenState
from hodei.domain.worker import WorkerState
from tests.running import Hodei, start

WORKER = "北のワーカー-of-the-north-with-a-long-name"
WIDE = "日本語のとても長い名前です" * 4
LONG = "nightly-import-of-all-orders-" * 6

CLOCK = r"\d\d:\d\d:\d\d"

COPIES = """
    INSERT INTO workers
    SELECT (jsonb_populate_record(w, jsonb_build_object(
        'id', gen_random_uuid(), 'state', other, 'name', repeat(other, 4),
        'last_heartbeat', now() + interval '1 day'))).*
    FROM workers AS w, unnest(%s::text[]) AS other
"""
"""Rows of workers in other states, without processes; none falls silent during the tests."""


class System(SimpleNamespace):
    """A running system, and ids of its jobs."""

    hodei: Hodei
    jobs: dict[str, str]  # by state
    worker: str


@pytest.fixture(scope="module")
def system(
    pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    hodei = start(pg_server, tmp_path_factory.mktemp("widths"))
    try:
        add_worker(hodei, hodei.folder / "worker")
        jobs = every_state(hodei)
        (worker,) = hodei.ok("worker", "list", "-q").text.split()
        hodei.sql(COPIES, sorted(set(WorkerState) - {WorkerState.READY}))
        every_token(hodei)
        yield System(hodei=hodei, jobs=jobs, worker=worker)
    finally:
        hodei.stack.stop()
        hodei.conn.close()


def add_worker(hodei: Hodei, folder: Path) -> None:
    flags = ["--slots", "4", "--name", WORKER, "--label", "rack=the-third-of-the-north-side"]
    hodei.stack.worker("worker", ",".join(hodei.addresses), folder, hodei.token(), *flags)


def every_state(hodei: Hodei) -> dict[str, str]:
    nowhere = ["--label", "gpu=a100", "--label", "model=the-large-one-with-80-gigabytes"]
    jobs = {
        JobState.SUCCEEDED: hodei.submit("--name", LONG, "--command", "true"),
        JobState.FAILED: hodei.submit("--name", WIDE, "--command", "exit 3"),
        JobState.RUNNING: hodei.submit("--name", WIDE, "--command", "sleep 1000"),
        JobState.CANCELLED: hodei.submit("--name", LONG, "--command", "true", *nowhere),
        JobState.PENDING: hodei.submit("--name", LONG, "--command", "true", *nowhere),
    }
    assert set(jobs) == set(JobState)
    hodei.ok("job", "cancel", jobs[JobState.CANCELLED])
    for state, job_id in jobs.items():
        hodei.until(job_id, state)
    hodei.until_beaten(jobs[JobState.RUNNING])
    return {str(state): job_id for state, job_id in jobs.items()}


def every_token(hodei: Hodei) -> None:
    hodei.token()
    hodei.ok("token", "revoke", hodei.token())
    expired = "UPDATE worker_bootstrap_tokens SET expires_at = created_at WHERE token = %s"
    hodei.sql(expired, hodei.token())


def terminal(hodei: Hodei, columns: int, *words: str) -> list[str]:
    """What `hodei …` shows in a terminal so wide, line by line."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    left_out = ("COLUMNS", "LINES", "HODEI_UTC")
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    # A zone where it is about noon: at midnight the tables would have dates, which are wider.
    environment |= {"NO_COLOR": "1", "TZ": f"NOON{datetime.now(UTC).hour - 12:+d}"}
    command = [sys.executable, "-m", "hodei.cli.main", "--server", ",".join(hodei.addresses)]
    with subprocess.Popen(
        [*command, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        said = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    assert process.returncode == 0, said
    return said.decode().splitlines()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: nobody has the terminal open any more
        return b""


def table(lines: list[str], columns: int, title: str) -> list[list[str]]:
    """The words of each row of the table whose first column has this title; each line fits."""
    first = next(n for n, line in enumerate(lines) if re.match(rf"{title}  ", line))
    below = lines[first:]
    rows = below[: below.index("")] if "" in below else below
    for line in rows:
        assert cells(line) <= columns, line
    return [row.split() for row in rows[1:]]


def cells(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


widths = pytest.mark.parametrize("columns", [40, 80, 200])


@widths
def test_jobs(system: System, columns: int) -> None:
    rows = table(terminal(system.hodei, columns, "job", "list"), columns, "id")
    assert {(row[0], row[2]) for row in rows} == {
        (job_id[-8:], state) for state, job_id in system.jobs.items()
    }
    for row in rows:
        assert any(re.fullmatch(CLOCK, word) for word in row), "when it was created"
        assert row[1].endswith("…") or columns == 200
        assert len(row[1]) >= 4, "a name can be told from others"
    failed = next(row for row in rows if row[2] == "FAILED")
    assert ("EXIT_NONZERO" in failed) == (columns > 40)
    assert (WORKER in failed) == (columns == 200)


@widths
def test_how_a_job_came_to_be(system: System, columns: int) -> None:
    job_id = system.jobs["FAILED"]
    rows = table(terminal(system.hodei, columns, "job", "timeline", job_id), columns, "time")
    assert [row[1] for row in rows] == [
        "JobCreated",
        "JobAssigned",
        "JobStatusChanged",
        "JobStatusChanged",
    ]
    assert [rows[number][2] for number in (0, 2, 3)] == ["PENDING", "RUNNING", "FAILED"]
    milliseconds = "" if columns == 40 else r"\.\d{3}"
    assert all(re.fullmatch(CLOCK + milliseconds, row[0]) for row in rows)
    ((number, outcome, *more),) = table(
        terminal(system.hodei, columns, "job", "attempts", job_id), columns, "attempt"
    )
    assert (number, outcome) == ("1", "FAILED")
    assert any(re.fullmatch(CLOCK, word) for word in more), "when it ended"


@widths
def test_workers(system: System, columns: int) -> None:
    rows = table(terminal(system.hodei, columns, "worker", "list", "--all"), columns, "id")
    assert {row[2] for row in rows} == set(WorkerState)
    (mine,) = (row for row in rows if row[0] == system.worker[-8:])
    assert mine[2:4] == ["READY", "1/4"]
    assert ("of-the-north" in mine[1]) == (columns == 200)

    lines = terminal(system.hodei, columns, "worker", "get", system.worker)
    ((job, state, since, _name),) = table(lines, columns, "job")
    assert (job, state) == (system.jobs["RUNNING"][-8:], "RUNNING")
    assert re.fullmatch(CLOCK, since)
    ((jobs, label, _rest),) = table(lines, columns, "jobs")
    assert (jobs, label) == ("1", "gpu=a100")


@widths
def test_tokens(system: System, columns: int) -> None:
    rows = table(terminal(system.hodei, columns, "token", "list"), columns, "token")
    assert {row[1] for row in rows} == set(TokenState)
    for row in rows:
        assert re.fullmatch(r"[0-9a-f]{12}", row[0])
        assert any(re.fullmatch(CLOCK, word) for word in row), "until when it is valid"
    consumed = next(row for row in rows if row[1] == TokenState.CONSUMED)
    assert (system.worker[-8:] in consumed) == (columns > 40)


@widths
def test_audit(system: System, columns: int) -> None:
    lines = terminal(system.hodei, columns, "audit", "--about", system.worker[-8:])
    rows = table(lines, columns, "time")
    assert {row[1] for row in rows} == {"WorkerRegistered", "WorkerStatusChanged"}
    assert not any("+00:00" in line for line in lines), "times of payloads are local, too"
    assert ("what" in lines[0].split()) == (columns > 40)
    if columns > 40:
        assert {row[2] for row in rows} == {system.worker[-8:]}, "which can be used as shown"


@widths
def test_status(system: System, columns: int) -> None:
    lines = terminal(system.hodei, columns, "status")
    ((jobs, *_, label, _model),) = table(lines, columns, "unservable")
    assert (jobs, label) == ("1", "gpu=a100")
    servers = table(lines, columns, "server")
    assert {row[1] for row in servers} == set(system.hodei.addresses), "which can be used as shown"


YESTERDAY = """
    INSERT INTO jobs (id, name, spec, correlation_id, actor, state, created_at, completed_at)
    VALUES (%s, %s, '{}', 'c', 'cli:a', 'CANCELLED', now() - interval '1 day', now())
"""

ITS_EVENTS = """
    INSERT INTO domain_events
        (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT
        now() - interval '1 day' + number * interval '1 s',
        event,
        %s,
        'c',
        'cli:a',
        jsonb_build_object('new_state', state)
    FROM unnest(
        ARRAY['JobCreated', %s, 'JobStatusChanged'],
        ARRAY['PENDING', NULL, 'CANCELLED']
    ) WITH ORDINALITY AS of (event, state, number)
"""


@pytest.mark.parametrize("zone", [(), ("--utc",)])
@widths
def test_times_of_another_day(system: System, columns: int, zone: tuple[str, ...]) -> None:
    """Their date takes room: at 40 columns it stands without its year, and the time without its
    seconds."""
    job_id, hodei = str(uuid.uuid4()), system.hodei
    hodei.sql(YESTERDAY, job_id, LONG)
    # The longest kind fits; with the Z of --utc its row takes 41 columns, and the terminal breaks it.
    request = "JobAssigned" if zone else "JobCancelRequested"
    hodei.sql(ITS_EVENTS, job_id, request)
    try:
        found = terminal(hodei, columns, *zone, "job", "list", "--name", "nightly*")
        events = terminal(hodei, columns, *zone, "job", "timeline", job_id)
    finally:
        hodei.sql("DELETE FROM jobs WHERE id = %s", job_id)
        hodei.sql("DELETE FROM domain_events WHERE aggregate_id = %s", job_id)
    date, time = (r"\d\d-\d\d", r"\d\d:\d\d") if columns == 40 else (r"\d{4}-\d\d-\d\d", CLOCK)
    z = "Z" if zone else ""
    (row,) = [row for row in table(found, columns, "id") if row[0] == job_id[-8:]]
    assert re.search(rf" CANCELLED {date} {time}{z}", " ".join(row))
    milliseconds = "" if columns == 40 else r"\.\d{3}"
    when = rf"{date} {time}{milliseconds}{z} "
    rows = [re.sub(when, "", " ".join(row)) for row in table(events, columns, "time")]
    assert [row.split(" by ")[0].split(" cli:")[0] for row in rows] == [
        "JobCreated PENDING",
        request,
        "JobStatusChanged CANCELLED",
    ]
