"""The calls that cancel jobs or run them again: the call for one job, which every server has, and the
call for many. A server of the release before is asked for one after the other."""

from collections.abc import Callable, Sequence
from typing import Any

from hodei.cli.client import Client, is_transient, words
from hodei.domain.job import JobState
from hodei.shapes import wire
from hodei.shapes.job import JobChange


def cancel_jobs(client: Client, ids: Sequence[str], states: Sequence[JobState]) -> list[JobChange]:
    """Cancels jobs, of some states alone if they are given; an answer for each, in order."""
    from hodei.protocol import hodei_pb2 as pb

    def alone(job_id: str) -> JobChange:
        job = client.call(client.jobs.CancelJob, pb.CancelJobRequest(job_id=job_id))
        ended = job.state == JobState.CANCELLED
        kind = "CANCELLED" if ended else "CANCEL_REQUESTED"
        return JobChange(job_id=job_id, change=kind, state=job.state)

    if len(ids) == 1 and not states:
        return [_answer_alone(ids[0], alone)]
    request = pb.CancelJobsRequest(job_ids=ids, states=states)
    return _answers(client, client.jobs.CancelJobs, request, ids, alone)


def retry_jobs(client: Client, ids: Sequence[str]) -> list[JobChange]:
    """Runs jobs again that have ended; an answer for each, in order. The new ids are made here, so
    that the same call again is the same jobs: it is made a second time where the answer was lost."""
    import grpc

    from hodei.domain.ids import uuid7
    from hodei.protocol import hodei_pb2 as pb

    retries = {job: pb.RetryJobRequest(job_id=job, new_job_id=str(uuid7())) for job in ids}

    def retry_alone(job_id: str) -> JobChange:
        client.call(client.jobs.RetryJob, retries[job_id])
        new = retries[job_id].new_job_id
        return JobChange(job_id=job_id, change="RETRIED", new_job_id=new)

    if len(ids) == 1:
        return [_answer_alone(ids[0], retry_alone)]
    request = pb.RetryJobsRequest(retries=retries.values())
    try:
        return _answers(client, client.jobs.RetryJobs, request, ids, retry_alone)
    except grpc.RpcError as error:
        if not is_transient(error):
            raise
    return _answers(client, client.jobs.RetryJobs, request, ids, retry_alone)


def _answers(
    client: Client,
    method: Callable[..., Any],
    request: Any,
    ids: Sequence[str],
    alone: Callable[[str], JobChange],
) -> list[JobChange]:
    import grpc

    try:
        answer = client.call(method, request)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNIMPLEMENTED:
            raise
        return [_answer_alone(job, alone) for job in ids]
    return [wire.read(JobChange, one) for one in answer.entries]


def _answer_alone(job_id: str, alone: Callable[[str], JobChange]) -> JobChange:
    """What an older server does to one job. RpcError: it does not answer."""
    import grpc

    try:
        return alone(job_id)
    except grpc.RpcError as error:
        if refusal := _REFUSALS.get(error.code().name):
            if refusal == "ENDED" and alone.__name__ == "retry_alone":
                refusal = "NOT_ENDED"
            return JobChange(job_id=job_id, refusal=refusal, message=words(error))
        raise


_REFUSALS = {
    "NOT_FOUND": "NOT_FOUND",
    "FAILED_PRECONDITION": "ENDED",
    "ALREADY_EXISTS": "DUPLICATE",
}
"""The refusals that an older server says by its status."""
