"""What a command that follows a job ends with: the job's own code where it has one."""

import re

import click
import pytest

from hodei.cli.exit_codes import TABLE, WAITED_TOO_LONG, exit_code
from hodei.cli.job_run import run
from hodei.domain.job import FINAL, Reason
from hodei.protocol import hodei_pb2 as pb
from hodei.shapes import wire
from hodei.shapes.job import Job
from hodei.store.job_queue import EXPIRE
from tests.conftest import TREE

JOBS = [
    (pb.Job(state="SUCCEEDED", exit_code=0), 0),
    (pb.Job(state="SUCCEEDED"), 0),
    (pb.Job(state="FAILED", reason="EXIT_NONZERO", exit_code=1), 1),
    (pb.Job(state="FAILED", reason="EXIT_NONZERO", exit_code=3), 3),
    (pb.Job(state="FAILED", reason="EXIT_NONZERO", exit_code=255), 255),
    (pb.Job(state="FAILED", reason="SIGNALED", signal=9), 137),
    (pb.Job(state="FAILED", reason="SIGNALED", signal=15), 143),
    (pb.Job(state="FAILED", reason="TIMEOUT", signal=15), 124),
    (pb.Job(state="FAILED", reason="TIMEOUT", exit_code=0), 124),
    (pb.Job(state="FAILED", reason="TIMEOUT", message=f"{WAITED_TOO_LONG}5 s", exit_code=3), 125),
    (pb.Job(state="FAILED", reason="OOM_KILLED", signal=9), 137),
    (pb.Job(state="FAILED", reason="START_FAILED"), 125),
    (pb.Job(state="FAILED", reason="IMAGE_PULL_FAILED"), 125),
    (pb.Job(state="FAILED", reason="LIMIT_EXCEEDED", exit_code=0), 125),
    (pb.Job(state="FAILED", reason="WORKER_LOST"), 125),
    (pb.Job(state="FAILED", reason="QUARANTINED"), 125),
    (pb.Job(state="FAILED", reason="REJECTED"), 125),
    (pb.Job(state="FAILED", reason="INTERNAL"), 125),
    (pb.Job(state="FAILED", reason="EXIT_NONZERO"), 125),  # no code is known
    (pb.Job(state="FAILED", reason="a reason of a later release"), 125),
    (pb.Job(state="CANCELLED", reason="CANCELLED", signal=15), 125),
    (pb.Job(state="CANCELLED", reason="CANCELLED", exit_code=0), 125),
]


@pytest.mark.parametrize(("job", "code"), JOBS)
def test_the_code_of_a_job(job: pb.Job, code: int) -> None:
    assert exit_code(wire.read(Job, job)) == code


def test_the_table_has_each_state_and_reason() -> None:
    assert {job.state for job, _ in JOBS} == FINAL
    assert {job.reason for job, _ in JOBS} > set(Reason)


def test_the_words_of_a_queue_timeout_are_those_of_the_statement() -> None:
    assert f"'{WAITED_TOO_LONG}'" in EXPIRE


def test_help_and_page_have_the_table() -> None:
    page = (TREE / "docs/command-line.md").read_text()
    rows = [tuple(row) for row in re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", page, re.MULTILINE)]
    first = rows.index(tuple(TABLE[0]))
    assert rows[first : first + len(TABLE)] == [tuple(row) for row in TABLE]
    shown = " ".join(run.get_help(click.Context(run)).split())
    for code, meaning in TABLE:
        assert f"{code} {meaning}" in shown
