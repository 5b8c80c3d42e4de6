"""What a command that follows a job ends with: the job's own code where it has one."""

import pytest

from hodei.cli.follow import exit_code
from hodei.domain.job import FINAL, Reason
from hodei.protocol import hodei_pb2 as pb
from hodei.shapes import wire
from hodei.shapes.job import Job

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
    (pb.Job(state="FAILED", reason="OOM_KILLED", signal=9), 137),
    (pb.Job(state="FAILED", reason="START_FAILED"), 1),
    (pb.Job(state="FAILED", reason="IMAGE_PULL_FAILED"), 1),
    (pb.Job(state="FAILED", reason="LIMIT_EXCEEDED", exit_code=0), 1),
    (pb.Job(state="FAILED", reason="WORKER_LOST"), 1),
    (pb.Job(state="FAILED", reason="QUARANTINED"), 1),
    (pb.Job(state="FAILED", reason="REJECTED"), 1),
    (pb.Job(state="FAILED", reason="INTERNAL"), 1),
    (pb.Job(state="FAILED", reason="EXIT_NONZERO"), 1),  # no code is known
    (pb.Job(state="FAILED", reason="a reason of a later release"), 1),
    (pb.Job(state="CANCELLED", reason="CANCELLED", signal=15), 130),
    (pb.Job(state="CANCELLED", reason="CANCELLED", exit_code=0), 130),
]


@pytest.mark.parametrize(("job", "code"), JOBS)
def test_the_code_of_a_job(job: pb.Job, code: int) -> None:
    assert exit_code(wire.read(Job, job)) == code


def test_the_table_has_each_state_and_reason() -> None:
    assert {job.state for job, _ in JOBS} == FINAL
    assert {job.reason for job, _ in JOBS} > set(Reason)
