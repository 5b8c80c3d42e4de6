"""Callers who wait for more jobs than a server watches for one address, and jobs whose ends are
large."""

import contextlib
from typing import Any

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.eventually import eventually
from tests.hostile.conftest import server_process, watched
from tests.hostile.test_lists import WIDE, channel, create, jobs
from tests.running import Hodei

__all__ = ["channel", "jobs"]  # fixtures

HELD, MORE = 20, 5
"""Calls of 1,000 jobs: 20,000 jobs are watched for one address."""


def left(calls: list[Any]) -> int:
    return sum(call.is_active() for call in calls)


def test_jobs_that_are_waited_for_are_bounded_and_cost_nobody_else(
    one: Hodei, jobs: hodei_pb2_grpc.JobServiceStub
) -> None:
    made = create(jobs, 1000)
    before = server_process(one).memory_info().rss
    with watched(one) as seen, contextlib.ExitStack() as open_calls:
        request = pb.WaitJobsRequest(job_ids=made)
        calls = [jobs.WaitJobs(request) for _ in range(HELD + MORE)]
        for call in calls:
            open_calls.callback(call.cancel)
        eventually(lambda: left(calls) == HELD)
        (refused, *_) = [call for call in calls if not call.is_active()]
        assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "20000 jobs that are waited for from this address already" in refused.details()
        assert server_process(one).memory_info().rss - before < 64 << 20
        ran = one.run("job", "wait", "--timeout", "3", *made)
        assert ran.code == 125
        assert ran.err.startswith("hodei: 20000 jobs that are waited for from this address already")
        one.sql("UPDATE jobs SET state = 'CANCELLED', completed_at = now() WHERE id = %s", made[7])
        for call in (call for call in calls if call.is_active()):
            assert not next(call).ended
            assert [job.job_id for job in next(call).ended] == [made[7]]
    seen.check()
    eventually(lambda: _told(jobs, made, 1))


def _told(jobs: hodei_pb2_grpc.JobServiceStub, made: list[str], count: int) -> bool:
    """Whether a wait is taken that tells this number of ends."""
    try:
        ended = [
            job
            for page in jobs.WaitJobs(pb.WaitJobsRequest(job_ids=made, any=True))
            for job in page.ended
        ]
    except grpc.RpcError:
        return False
    return len(ended) == count


def test_large_ends_come_in_pages(one: Hodei, jobs: hodei_pb2_grpc.JobServiceStub) -> None:
    made = create(jobs, 1000, name=WIDE * 200)
    one.sql(
        "UPDATE jobs SET state = 'FAILED', completed_at = now(), message = repeat(%s, 5000)", WIDE
    )
    pages = list(jobs.WaitJobs(pb.WaitJobsRequest(job_ids=made)))
    assert [job.job_id for page in pages for job in page.ended] == made
    assert max(page.ByteSize() for page in pages) < 1 << 20


def test_a_request_that_is_too_long_is_refused(jobs: hodei_pb2_grpc.JobServiceStub) -> None:
    with pytest.raises(grpc.RpcError, match="expected a request of at most 65536 bytes"):
        list(jobs.WaitJobs(pb.WaitJobsRequest(job_ids=["x" * 70_000])))
