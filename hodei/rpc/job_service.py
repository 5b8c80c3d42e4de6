"""JobService: what people and programs ask of jobs."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from hodei.domain.errors import Aborted, Duplicate, HodeiError, Invalid, Locked, NotFound
from hodei.domain.job import JobState, Reason
from hodei.flow.control import JobController
from hodei.flow.enqueue import Created, Enqueuer
from hodei.flow.enqueue_all import AllOrNothing
from hodei.flow.log_reader import LogReader
from hodei.flow.waiting import waiting_for
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.rpc import convert
from hodei.rpc.limits import ForCallers, Shared
from hodei.rpc.principal import actor
from hodei.store import job_story, jobs, workers

STEP = 100
"""Jobs read at a time for a list: some 5 MB at most, with the labels that they require."""

ERROR_CHARACTERS = 300
"""Of why a spec is refused: a thousand of them make an answer of less than 1 MiB."""


class JobService(hodei_pb2_grpc.JobServiceServicer):
    def __init__(
        self,
        database: ForCallers,
        enqueuer: Enqueuer,
        all_or_nothing: AllOrNothing,
        controller: JobController,
        logs: LogReader,
    ) -> None:
        self._database = database
        self._enqueuer = enqueuer
        self._all_or_nothing = all_or_nothing
        self._controller = controller
        self._logs = logs
        self._fleet: Shared[list[workers.Worker]] = Shared(self._read_fleet)

    async def CreateJobs(
        self, request: pb.CreateJobsRequest, context: Any
    ) -> pb.CreateJobsResponse:
        if not request.specs:
            raise Invalid("specs: expected at least one")
        if request.all_or_nothing and len(request.specs) > 1:
            async with self._database.turn():
                created = await self._all_or_nothing.create(request.specs, actor.get())
        else:
            created = await self._enqueuer.create(request.specs, actor.get())
        return pb.CreateJobsResponse(entries=[_entry(entry) for entry in created])

    async def GetJob(self, request: pb.JobRef, context: Any) -> pb.Job:
        return await self._get(request.job_id)

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        state = _one_of(JobState, request.state, "state")
        reason = _one_of(Reason, request.reason, "reason")
        before = (
            convert.uuid_of(request.before_job_id, "before_job_id")
            if request.before_job_id
            else None
        )
        limit = request.limit or 20
        if limit > 1000:
            raise Invalid(f"limit: expected 1 to 1000, got {limit}")
        answer, size = pb.ListJobsResponse(), 0
        while len(answer.jobs) < limit:
            count = min(STEP, limit - len(answer.jobs))
            found = await self._database.run(
                lambda conn, last=before, most=count: jobs.list_newest(  # type: ignore[misc]
                    conn, state, reason, request.correlation_id or None, last, most
                )
            )
            for job in await self._worded(found):
                size += job.ByteSize() + 4
                if size > convert.PAGE_BYTES and answer.jobs:
                    answer.next_before_job_id = answer.jobs[-1].job_id
                    return answer
                answer.jobs.append(job)
            if len(found) < count:
                break
            before = found[-1].id
        if not answer.jobs and request.before_job_id:
            await self._check_before(request.before_job_id)
        return answer

    async def _check_before(self, text: str) -> None:
        """That a page is empty because it is the last one."""
        before = convert.uuid_of(text, "before_job_id")
        if not await self._database.run(lambda conn: jobs.exists(conn, before)):
            raise NotFound(
                f"before: no job {before}; it may have been deleted, begin again with the newest"
            )

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.Job:
        job_id = convert.uuid_of(request.job_id, "job_id")
        async with self._database.turn():
            await self._controller.cancel(job_id, actor.get())
        return await self._get(request.job_id)

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.Job:
        old = convert.uuid_of(request.job_id, "job_id")
        new = convert.uuid_of(request.new_job_id, "new_job_id") if request.new_job_id else None
        async with self._database.turn():
            made = await self._enqueuer.retry(old, new, actor.get())
        return await self._get(str(made))

    async def GetTimeline(self, request: pb.JobRef, context: Any) -> pb.Timeline:
        job_id = convert.uuid_of(request.job_id, "job_id")
        events, left_out = await self._database.run(lambda conn: job_story.timeline(conn, job_id))
        if not events:
            raise NotFound(f"no job {job_id}")
        return pb.Timeline(
            left_out=left_out,
            events=[
                pb.Timeline.Event(
                    occurred_unix_us=e.occurred_at,
                    event_type=e.event_type,
                    aggregate_id=e.aggregate_id,
                    actor=e.actor,
                    correlation_id=e.correlation_id,
                    payload=e.payload,
                )
                for e in events
            ],
        )

    async def GetAttempts(self, request: pb.JobRef, context: Any) -> pb.Attempts:
        job_id = convert.uuid_of(request.job_id, "job_id")
        await self._get(request.job_id)
        found, more = await self._database.run(lambda conn: job_story.attempts(conn, job_id))
        return pb.Attempts(attempts=[convert.attempt(one) for one in found], more=more)

    async def ReadLogs(
        self, request: pb.ReadLogsRequest, context: Any
    ) -> AsyncIterator[pb.ReadLogsResponse]:
        job_id = convert.uuid_of(request.job_id, "job_id")
        async for page in self._logs.read(job_id, request.cursor, follow=request.follow):
            yield convert.log_page(page)

    async def _get(self, text: str) -> pb.Job:
        job_id = convert.uuid_of(text, "job_id")

        job = await self._database.run(lambda conn: jobs.get(conn, job_id))
        if job is None:
            raise NotFound(f"no job {job_id}")
        fleet = await self._fleet.get() if job.state == JobState.PENDING else []
        return convert.job(job, waiting_for(job, fleet))

    async def _worded(self, found: Sequence[jobs.Job]) -> list[pb.Job]:
        """With words for why those that are PENDING wait."""
        waiting = any(job.state == JobState.PENDING for job in found)
        fleet = await self._fleet.get() if waiting else []
        return [convert.job(job, waiting_for(job, fleet)) for job in found]

    async def _read_fleet(self) -> list[workers.Worker]:
        return await self._database.run(lambda conn: workers.list_all(conn, every=False))


CODES: dict[type[HodeiError], str] = {
    Duplicate: "ALREADY_EXISTS",
    Locked: "UNAVAILABLE",
    Aborted: "ABORTED",
}


def _entry(created: Created) -> pb.CreateJobsResponse.Entry:
    code = CODES.get(type(created.error), "INVALID_ARGUMENT") if created.error else ""
    return pb.CreateJobsResponse.Entry(
        job_id=str(created.job_id or ""),
        existed=created.existed,
        error=str(created.error or "")[:ERROR_CHARACTERS],
        error_code=code,
    )


_Word = TypeVar("_Word", JobState, Reason)


def _one_of(kind: type[_Word], text: str, what: str) -> _Word | None:
    if not text:
        return None
    try:
        return kind(text.upper())
    except ValueError:
        raise Invalid(f"{what}: expected one of {', '.join(kind)}, got {text[:80]!r}") from None
