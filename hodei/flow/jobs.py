"""What people and programs may ask of jobs: the one way in. Whatever carries a request (hodei/rpc)
only translates it into one of these verbs, and its answer back.

Each verb has its rules and limits here, and answers with shapes (hodei/shapes)."""

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, TypeVar

from hodei.access.limits import CallersDatabase
from hodei.access.pages import Page, read_page
from hodei.domain.errors import Invalid, NotFound
from hodei.domain.job import JobState, Reason
from hodei.flow import job_ids, job_shapes
from hodei.flow.cancel import Canceller
from hodei.flow.enqueue import Created, Enqueuer
from hodei.flow.enqueue_all import AllOrNothing
from hodei.flow.job_ids import Meant
from hodei.flow.log_place import WantedLog
from hodei.flow.log_reader import LogPage, LogReader
from hodei.flow.retry import Retries
from hodei.flow.waiting import waiting_for
from hodei.flow.waits import Waits
from hodei.shapes.job import Attempt, Event, Job
from hodei.store import job_story, jobs

Word = TypeVar("Word", JobState, Reason)

LIMIT, MOST_LIMIT = 20, 1000
"""Jobs of a list: unless the caller says how many, and at most."""


class Wanted(NamedTuple):
    """Which jobs a list is of, newest first. Empty texts and None: whichever."""

    state: str = ""
    reason: str = ""
    correlation_id: str = ""
    before: uuid.UUID | None = None  # the last job of the page before
    limit: int = 0  # 0: LIMIT


class Timeline(NamedTuple):
    """The last events of a job, oldest first."""

    events: list[Event]
    left_out: int  # older ones that are not among them


class Attempts(NamedTuple):
    """The last attempts of a job, oldest first."""

    attempts: list[Attempt]
    more: bool  # there are older ones


class Jobs:
    """The verbs. Any of them may raise Unavailable (the database is away) or Exhausted (a limit of
    callers is reached)."""

    def __init__(
        self,
        database: CallersDatabase,
        enqueuer: Enqueuer,
        all_or_nothing: AllOrNothing,
        canceller: Canceller,
        retries: Retries,
        logs: LogReader,
        waits: Waits,
    ) -> None:
        self._database = database
        self._enqueuer = enqueuer
        self._all_or_nothing = all_or_nothing
        self._canceller = canceller
        self._retries = retries
        self._logs = logs
        self._waits = waits

    async def submit(
        self, specs: Sequence[str], actor: str, *, all_or_nothing: bool
    ) -> list[Created]:
        """Creates a job of each spec, or with all_or_nothing none if one is refused. Returns an
        answer for each, in order. Invalid: there are no specs, or too many."""
        if not specs:
            raise Invalid("specs: expected at least one")
        if all_or_nothing and len(specs) > 1:
            return await self._all_or_nothing.create(specs, actor)
        return await self._enqueuer.create(specs, actor)

    async def get(self, job_id: uuid.UUID) -> Job:
        """NotFound: there is no such job."""
        job = await self._database.run(lambda conn: jobs.get(conn, job_id))
        if job is None:
            raise NotFound(f"no job {job_id}")
        return job_shapes.of_job(job, await self._waits.words(job_id, job))

    async def resolve(self, parts: Sequence[str], actor: str) -> list[Meant]:
        """The jobs that parts of ids mean (job_ids.resolve has the rules and errors)."""
        return await job_ids.resolve(self._database, parts, actor)

    async def list_jobs(self, wanted: Wanted) -> Page[Job]:
        """A page of jobs, without their specs. Invalid: no such state or reason, or the limit is
        beyond MOST_LIMIT. NotFound: `before` is no job, so that the empty page is not the last."""
        state = _one_of(JobState, wanted.state, "state")
        reason = _one_of(Reason, wanted.reason, "reason")
        limit = wanted.limit or LIMIT
        if limit > MOST_LIMIT:
            raise Invalid(f"limit: expected 1 to {MOST_LIMIT}, got {limit}")

        async def read(last: Job | None, count: int) -> list[Job]:
            before = uuid.UUID(last.job_id) if last else wanted.before
            correlation_id = wanted.correlation_id or None
            found = await self._database.run(
                lambda conn: jobs.list_newest(conn, state, reason, correlation_id, before, count)
            )
            return await self._shown(found, with_spec=False)

        page = await read_page(read, limit)
        if wanted.before and not page.entries:
            await self._check_before(wanted.before)
        return page

    async def _check_before(self, before: uuid.UUID) -> None:
        if not await self._database.run(lambda conn: jobs.exists(conn, before)):
            raise NotFound(
                f"before: no job {before}; it may have been deleted, begin again with the newest"
            )

    async def cancel(self, job_id: uuid.UUID, actor: str) -> Job:
        """Asks for a job's end (Canceller.cancel has the errors); returns the job as it is then."""
        await self._canceller.cancel(job_id, actor)
        return await self.get(job_id)

    async def retry(self, job_id: uuid.UUID, new_id: uuid.UUID | None, actor: str) -> Job:
        """Runs an ended job again (Retries.retry has the errors); returns the new job."""
        return await self.get(await self._retries.retry(job_id, new_id, actor))

    async def timeline(self, job_id: uuid.UUID) -> Timeline:
        """The events of a job. NotFound: it has none, so there is no such job."""
        events, left_out = await self._database.run(lambda conn: job_story.timeline(conn, job_id))
        if not events:
            raise NotFound(f"no job {job_id}")
        return Timeline([job_shapes.of_event(event) for event in events], left_out)

    async def attempts(self, job_id: uuid.UUID) -> Attempts:
        """The attempts of a job. NotFound: there is no such job."""
        if not await self._database.run(lambda conn: jobs.exists(conn, job_id)):
            raise NotFound(f"no job {job_id}")
        found, more = await self._database.run(lambda conn: job_story.attempts(conn, job_id))
        return Attempts([job_shapes.of_attempt(one) for one in found], more)

    def read_logs(self, job_id: uuid.UUID, wanted: WantedLog) -> AsyncIterator[LogPage]:
        """Pages of a job's log (LogReader.read)."""
        return self._logs.read(job_id, wanted)

    async def _shown(self, found: Sequence[jobs.Job], *, with_spec: bool = True) -> list[Job]:
        """Jobs as shapes, with words for why those that are PENDING wait."""
        waiting = any(job.state == JobState.PENDING for job in found)
        fleet = await self._waits.fleet() if waiting else []
        return [
            job_shapes.of_job(job, waiting_for(job, fleet), with_spec=with_spec) for job in found
        ]


def _one_of(kind: type[Word], text: str, what: str) -> Word | None:
    """The word of the kind that the text says in any case; None for an empty text."""
    if not text:
        return None
    try:
        return kind(text.upper())
    except ValueError:
        raise Invalid(f"{what}: expected one of {', '.join(kind)}, got {text[:80]!r}") from None
