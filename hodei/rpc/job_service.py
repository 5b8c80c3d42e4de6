"""JobService: what people and programs ask of jobs."""

from collections.abc import AsyncIterator
from typing import Any

from hodei.domain.errors import Aborted, Duplicate, HodeiError, Invalid, Locked, NotFound
from hodei.domain.job import JobState, Reason
from hodei.flow.control import JobController
from hodei.flow.enqueue import Created, Enqueuer
from hodei.flow.enqueue_all import AllOrNothing
from hodei.flow.logs import LogKeeper
from hodei.flow.waiting import waiting_for
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.rpc import convert
from hodei.rpc.principal import actor
from hodei.store import jobs, workers
from hodei.store.database import Connection, Database


class JobService(hodei_pb2_grpc.JobServiceServicer):
    def __init__(self, database: Database, enqueuer: Enqueuer, controller: JobController, logs: LogKeeper) -> None:
        self._database = database
        self._enqueuer = enqueuer
        self._all_or_nothing = AllOrNothing(database)
        self._controller = controller
        self._logs = logs

    async def CreateJobs(self, request: pb.CreateJobsRequest, context: Any) -> pb.CreateJobsResponse:
        if not request.specs:
            raise Invalid("specs: expected at least one")
        together = request.all_or_nothing and len(request.specs) > 1
        create = self._all_or_nothing.create if together else self._enqueuer.create
        created = await create(request.specs, actor.get())
        return pb.CreateJobsResponse(entries=[_entry(entry) for entry in created])

    async def GetJob(self, request: pb.JobRef, context: Any) -> pb.Job:
        return await self._get(request.job_id)

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        state = _one_of(JobState, request.state, "state")
        reason = _one_of(Reason, request.reason, "reason")
        before = convert.uuid_of(request.before_job_id, "before_job_id") if request.before_job_id else None
        limit = request.limit or 20
        if limit > 1000:
            raise Invalid(f"limit: expected 1 to 1000, got {limit}")
        found = await self._database.run(lambda conn: jobs.list_newest(conn, state, reason, request.correlation_id or None, before, limit))
        if before and not found and not await self._database.run(lambda conn: jobs.exists(conn, before)):
            raise NotFound(f"before: no job {before}; it may have been deleted, begin again with the newest")
        fleet = []
        if any(job.state == JobState.PENDING for job in found):
            fleet = await self._database.run(lambda conn: workers.list_all(conn, every=False))
        return pb.ListJobsResponse(jobs=[convert.listed(job, waiting_for(job, fleet)) for job in found])

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.Job:
        await self._controller.cancel(convert.uuid_of(request.job_id, "job_id"), actor.get())
        return await self._get(request.job_id)

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.Job:
        old = convert.uuid_of(request.job_id, "job_id")
        new = convert.uuid_of(request.new_job_id, "new_job_id") if request.new_job_id else None
        return await self._get(str(await self._enqueuer.retry(old, new, actor.get())))

    async def GetTimeline(self, request: pb.JobRef, context: Any) -> pb.Timeline:
        job_id = convert.uuid_of(request.job_id, "job_id")
        events = await self._database.run(lambda conn: jobs.timeline(conn, job_id))
        if not events:
            raise NotFound(f"no job {job_id}")
        return pb.Timeline(
            events=[
                pb.Timeline.Event(
                    occurred_unix_us=e.occurred_at, event_type=e.event_type, aggregate_id=e.aggregate_id, actor=e.actor,
                    correlation_id=e.correlation_id, payload=e.payload,
                )
                for e in events
            ]
        )  # fmt: skip

    async def GetAttempts(self, request: pb.JobRef, context: Any) -> pb.Attempts:
        job_id = convert.uuid_of(request.job_id, "job_id")
        await self._get(request.job_id)
        found = await self._database.run(lambda conn: jobs.attempts(conn, job_id))
        return pb.Attempts(attempts=[convert.attempt(one) for one in found])

    async def ReadLogs(self, request: pb.ReadLogsRequest, context: Any) -> AsyncIterator[pb.ReadLogsResponse]:
        job_id = convert.uuid_of(request.job_id, "job_id")
        async for chunks, cursor, final in self._logs.read(job_id, request.cursor, follow=request.follow):
            if final is None or chunks:
                yield convert.log_page(chunks, cursor, None)
            else:
                yield convert.log_page([], cursor, convert.job(final))

    async def _get(self, text: str) -> pb.Job:
        job_id = convert.uuid_of(text, "job_id")

        async def read(conn: Connection) -> pb.Job:
            job = await jobs.get(conn, job_id)
            if job is None:
                raise NotFound(f"no job {job_id}")
            fleet = await workers.list_all(conn, every=False) if job.state == JobState.PENDING else []
            return convert.job(job, waiting_for(job, fleet))

        return await self._database.run(read)


CODES: dict[type[HodeiError], str] = {Duplicate: "ALREADY_EXISTS", Locked: "UNAVAILABLE", Aborted: "ABORTED"}


def _entry(created: Created) -> pb.CreateJobsResponse.Entry:
    code = CODES.get(type(created.error), "INVALID_ARGUMENT") if created.error else ""
    return pb.CreateJobsResponse.Entry(
        job_id=str(created.job_id or ""), existed=created.existed, error=str(created.error or ""), error_code=code
    )


def _one_of(kind: type[JobState] | type[Reason], text: str, what: str) -> str | None:
    if not text:
        return None
    try:
        return kind(text.upper()).value
    except ValueError:
        raise Invalid(f"{what}: expected one of {', '.join(kind)}, got {text[:80]!r}") from None
