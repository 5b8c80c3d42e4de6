"""JobService: the verbs of hodei/flow/jobs.py on the wire."""

from collections.abc import AsyncIterator
from typing import Any

from hodei.access.principal import principal
from hodei.flow.jobs import Jobs
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.rpc import from_caller, to_caller
from hodei.rpc.ids import uuid_of, uuid_or_none
from hodei.shapes import wire


class JobService(hodei_pb2_grpc.JobServiceServicer):
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def CreateJobs(
        self, request: pb.CreateJobsRequest, context: Any
    ) -> pb.CreateJobsResponse:
        created = await self._jobs.submit(
            request.specs,
            principal.get(),
            all_or_nothing=request.all_or_nothing,
            project=request.project,
        )
        return pb.CreateJobsResponse(entries=[to_caller.entry(one) for one in created])

    async def GetJob(self, request: pb.JobRef, context: Any) -> pb.Job:
        return to_caller.job(await self._jobs.get(_job_id(request), principal.get()))

    async def ResolveJobs(
        self, request: pb.ResolveJobsRequest, context: Any
    ) -> pb.ResolveJobsResponse:
        found = await self._jobs.resolve(request.parts, principal.get())
        return pb.ResolveJobsResponse(meant=[to_caller.meant(one) for one in found])

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        before = uuid_or_none(request.before_job_id, "before_job_id")
        page = await self._jobs.list_jobs(
            from_caller.listed(request), before, request.limit, principal.get()
        )
        return pb.ListJobsResponse(
            jobs=[to_caller.job(one) for one in page.jobs],
            next_before_job_id=page.go_on_after or "",
            filtered=True,
            searched=page.searched,
            by_project=True,
        )

    async def FindJobs(self, request: pb.FindJobsRequest, context: Any) -> pb.FindJobsResponse:
        found = await self._jobs.find(
            from_caller.wanted(request.filter),
            from_caller.ids(request.job_ids),
            uuid_or_none(request.before_job_id, "before_job_id"),
            request.limit,
            principal.get(),
        )
        return pb.FindJobsResponse(
            entries=[
                pb.FindJobsResponse.Entry(job_id=str(one.id), state=one.state) for one in found.jobs
            ],
            next_before_job_id=str(found.go_on_after or ""),
            searched=found.searched,
            by_project=True,
        )

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.Job:
        return to_caller.job(await self._jobs.cancel(_job_id(request), principal.get()))

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.Job:
        new_id = uuid_or_none(request.new_job_id, "new_job_id")
        return to_caller.job(await self._jobs.retry(_job_id(request), new_id, principal.get()))

    async def CancelJobs(
        self, request: pb.CancelJobsRequest, context: Any
    ) -> pb.ChangeJobsResponse:
        ids = from_caller.ids(request.job_ids)
        return to_caller.changes(await self._jobs.cancel_many(ids, request.states, principal.get()))

    async def RetryJobs(self, request: pb.RetryJobsRequest, context: Any) -> pb.ChangeJobsResponse:
        repeats = from_caller.repeats(request.retries)
        return to_caller.changes(await self._jobs.retry_many(repeats, principal.get()))

    async def GetTimeline(self, request: pb.JobRef, context: Any) -> pb.Timeline:
        found = await self._jobs.timeline(_job_id(request), principal.get())
        return pb.Timeline(
            left_out=found.left_out,
            events=[wire.fill_near(pb.Timeline.Event, event) for event in found.events],
        )

    async def GetAttempts(self, request: pb.JobRef, context: Any) -> pb.Attempts:
        found = await self._jobs.attempts(_job_id(request), principal.get())
        return pb.Attempts(
            attempts=[wire.fill_near(pb.Attempts.Attempt, one) for one in found.attempts],
            more=found.more,
        )

    async def ReadLogs(
        self, request: pb.ReadLogsRequest, context: Any
    ) -> AsyncIterator[pb.ReadLogsResponse]:
        wanted = from_caller.wanted_log(request)
        async for page in self._jobs.read_logs(_job_id(request), wanted, principal.get()):
            yield to_caller.log_page(page)

    async def WaitJobs(
        self, request: pb.WaitJobsRequest, context: Any
    ) -> AsyncIterator[pb.WaitJobsResponse]:
        pages = self._jobs.wait(from_caller.wanted_ends(request), principal.get())
        request.Clear()  # gRPC keeps it for as long as the caller waits
        async for page in pages:
            yield to_caller.ends_page(page)


def _job_id(request: Any) -> Any:
    return uuid_of(request.job_id, "job_id")
