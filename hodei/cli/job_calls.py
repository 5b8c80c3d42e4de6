"""The calls that cancel jobs or run them again: the call for one job, which every server has, and the
call for many. A server of the release before is asked for one after the other."""

from collections.abc import Callable, Sequence
from typing import Any

from hodei.cli.client import Client, is_transient, words
from hodei.domain.job import JobState
from hodei.domain.job_change import Change, Refusal
from hodei.shapes import wire
from hodei.shapes.job import JobChange


def cancel_jobs(client: Client, ids: Sequence[str], states: Sequence[JobState]) -> list[JobChange]:
    """Cancels jobs, of some states alone if they are given; an answer for each, in order."""
    from hodei.protocol import hodei_pb2 as pb

    def alone(job_id: str) -> JobChange:
        job = client.call(client.jobs.CancelJob, pb.CancelJobRequest(job_id=job_id))
        ended = job.state == JobState.CANCELLED
        kind = Change.CANCELLED if ended else Change.CANCEL_REQUESTED
        return JobChange(job_id=job_id, change=kind, state=job.state)

    one = OneByOne(alone, conflict=Refusal.ENDED)
    if len(ids) == 1 and not states:
        return one.answers(ids)
    request = pb.CancelJobsRequest(job_ids=ids, states=states)
    return _answers(client, client.jobs.CancelJobs, request, ids, one)


def retry_jobs(client: Client, ids: Sequence[str]) -> list[JobChange]:
    """Runs jobs again that have ended; an answer for each, in order. The new ids are made here, so
    that the same call again is the same jobs: it is made a second time where the answer was lost."""
    import grpc

    from hodei.domain.ids import uuid7
    from hodei.protocol import hodei_pb2 as pb

    retries = {job: pb.RetryJobRequest(job_id=job, new_job_id=str(uuid7())) for job in ids}

    def alone(job_id: str) -> JobChange:
        client.call(client.jobs.RetryJob, retries[job_id])
        new = retries[job_id].new_job_id
        return JobChange(job_id=job_id, change=Change.RETRIED, new_job_id=new)

    one = OneByOne(alone, conflict=Refusal.NOT_ENDED)
    if len(ids) == 1:
        return one.answers(ids)
    request = pb.RetryJobsRequest(retries=retries.values())
    try:
        return _answers(client, client.jobs.RetryJobs, request, ids, one)
    except grpc.RpcError as error:
        if not is_transient(error):
            raise
    return _answers(client, client.jobs.RetryJobs, request, ids, one)


class OneByOne:
    """The call for one job, made for each of several. `conflict`: the refusal that a server says as
    FAILED_PRECONDITION."""

    def __init__(self, call: Callable[[str], JobChange], *, conflict: Refusal) -> None:
        self._call = call
        self._refusals = {
            "NOT_FOUND": Refusal.NOT_FOUND,
            "FAILED_PRECONDITION": conflict,
            "ALREADY_EXISTS": Refusal.DUPLICATE,
        }

    def answers(self, ids: Sequence[str]) -> list[JobChange]:
        """An answer for each, in order. RpcError: the server does not answer."""
        return [self._answer(job_id) for job_id in ids]

    def _answer(self, job_id: str) -> JobChange:
        import grpc

        try:
            return self._call(job_id)
        except grpc.RpcError as error:
            if refusal := self._refusals.get(error.code().name):
                return JobChange(job_id=job_id, refusal=refusal, message=words(error))
            raise


def _answers(
    client: Client, method: Callable[..., Any], request: Any, ids: Sequence[str], one: OneByOne
) -> list[JobChange]:
    import grpc

    try:
        answer = client.call(method, request)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNIMPLEMENTED:
            raise
        return one.answers(ids)
    return [wire.read(JobChange, entry) for entry in answer.entries]
