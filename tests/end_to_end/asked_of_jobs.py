"""What can be asked of a job, by each method that takes its id or finds it."""

import uuid
from collections.abc import Callable
from typing import Any

from hodei.protocol import hodei_pb2 as pb


def filters(job_id: str, correlation: str) -> list[pb.JobFilter]:
    return [
        pb.JobFilter(correlation_id=correlation),
        pb.JobFilter(name="red-*"),
        pb.JobFilter(actor="api:red"),
        pb.JobFilter(labels={"at": "here"}),
        pb.JobFilter(workers=["worker"], states=["RUNNING"]),
    ]


NEW_ID = str(uuid.uuid4())

REQUESTS: dict[str, Callable[[str, str], list[Any]]] = {
    "GetJob": lambda job, _: [pb.JobRef(job_id=job)],
    "GetTimeline": lambda job, _: [pb.JobRef(job_id=job)],
    "GetAttempts": lambda job, _: [pb.JobRef(job_id=job)],
    "ResolveJobs": lambda job, _: [
        pb.ResolveJobsRequest(parts=parts) for parts in ([job], [job[:18]], [job[-8:], job], [""])
    ],
    "ListJobs": lambda job, correlation: [
        pb.ListJobsRequest(before_job_id=job),
        pb.ListJobsRequest(correlation_id=correlation),
        *(pb.ListJobsRequest(filter=one) for one in filters(job, correlation)),
    ],
    "FindJobs": lambda job, correlation: [
        pb.FindJobsRequest(job_ids=[job]),
        pb.FindJobsRequest(before_job_id=job),
        *(pb.FindJobsRequest(filter=one) for one in filters(job, correlation)),
    ],
    "ReadLogs": lambda job, _: [
        pb.ReadLogsRequest(job_id=job),
        pb.ReadLogsRequest(job_id=job, follow=True, tell_waiting=True),
        pb.ReadLogsRequest(job_id=job, attempt=1),
        pb.ReadLogsRequest(job_id=job, attempt=7),
        pb.ReadLogsRequest(job_id=job, tail_lines=5),
        pb.ReadLogsRequest(job_id=job, cursor="1.0"),
        pb.ReadLogsRequest(job_id=job, cursor="nonsense"),
    ],
    "WaitJobs": lambda job, _: [
        pb.WaitJobsRequest(job_ids=[job]),
        pb.WaitJobsRequest(job_ids=[job, NEW_ID], any=True),
        pb.WaitJobsRequest(job_ids=[job], goes_on=True, tell_waiting=True),
    ],
    "CancelJob": lambda job, _: [pb.CancelJobRequest(job_id=job)],
    "CancelJobs": lambda job, _: [
        pb.CancelJobsRequest(job_ids=[NEW_ID, job, job]),
        pb.CancelJobsRequest(job_ids=[job], states=["RUNNING"]),
    ],
    "RetryJob": lambda job, _: [
        pb.RetryJobRequest(job_id=job),
        pb.RetryJobRequest(job_id=job, new_job_id=NEW_ID),
    ],
    "RetryJobs": lambda job, _: [
        pb.RetryJobsRequest(retries=[pb.RetryJobRequest(job_id=one) for one in (job, NEW_ID)]),
    ],
}
"""What is asked of each method, of a job and of a correlation id."""
