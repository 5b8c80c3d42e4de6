"""What people and programs may ask of jobs: the one way in. Whatever carries a request (hodei/rpc)
only translates it into one of these verbs, and its answer back.

Each verb has its rules and limits here, and answers with shapes (hodei/shapes)."""

import functools
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from hodei.access import projects
from hodei.access.limits import CallersDatabase
from hodei.access.pages import PAGE_BYTES, STEP
from hodei.access.principal import Principal
from hodei.domain.errors import Invalid, NotFound
from hodei.domain.job import JobState
from hodei.flow import change_many, find, job_ids, job_shapes
from hodei.flow.cancel import Canceller
from hodei.flow.cancel_many import MassCanceller
from hodei.flow.change_many import Answer
from hodei.flow.ends import Ends, EndsPage, WantedEnds
from hodei.flow.enqueue import Created, Enqueuer
from hodei.flow.enqueue_all import AllOrNothing
from hodei.flow.find import Found
from hodei.flow.job_filter import MOST_VALUES, Wanted, word
from hodei.flow.job_ids import Meant
from hodei.flow.log_place import WantedLog
from hodei.flow.log_reader import LogPage, LogReader
from hodei.flow.reach import Reach
from hodei.flow.retry import Retries
from hodei.flow.retry_many import MassRetries
from hodei.flow.waiting import waiting_for
from hodei.flow.waits import Waits
from hodei.shapes.job import Attempt, Event, Job
from hodei.shapes.size import size_of
from hodei.store import job_story, jobs
from hodei.store.retry_many import Repeat

LIMIT, MOST_LIMIT = 20, 1000
"""Jobs of a list: unless the caller says how many, and at most."""


class JobPage(NamedTuple):
    """A page of a list of jobs, newest first, without their specs."""

    jobs: list[Job]
    go_on_after: str | None
    """The last job that was searched, where the page ended before its limit and the list may go
    on."""
    searched: int
    """How many jobs were searched, where the page ended by that; else 0."""


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
        mass_canceller: MassCanceller,
        retries: Retries,
        mass_retries: MassRetries,
        logs: LogReader,
        waits: Waits,
        ends: Ends,
    ) -> None:
        self._database = database
        self._enqueuer = enqueuer
        self._all_or_nothing = all_or_nothing
        self._canceller = canceller
        self._mass_canceller = mass_canceller
        self._retries = retries
        self._mass_retries = mass_retries
        self._logs = logs
        self._waits = waits
        self._ends = ends
        self._reach = Reach(database)

    async def submit(
        self, specs: Sequence[str], who: Principal, *, all_or_nothing: bool, project: str = ""
    ) -> list[Created]:
        """Creates a job of each spec, or with all_or_nothing none if one is refused. Returns an
        answer for each, in order. `project`: of the jobs, if the caller says it. Invalid: there are
        no specs, or too many, or the project is not the caller's."""
        where = projects.to_create_in(who, project)
        if not specs:
            raise Invalid("specs: expected at least one")
        if all_or_nothing and len(specs) > 1:
            return await self._all_or_nothing.create(specs, who.actor, where)
        return await self._enqueuer.create(specs, who.actor, where)

    async def get(self, job_id: uuid.UUID, who: Principal) -> Job:
        """NotFound: there is no such job."""
        job = await self._database.run(lambda conn: jobs.get(conn, job_id))
        if job is None or who.project not in (None, job.project):
            raise NotFound(f"no job {job_id}")
        return job_shapes.of_job(job, await self._waits.words(job_id, job))

    async def resolve(self, parts: Sequence[str], who: Principal) -> list[Meant]:
        """The jobs that parts of ids mean (job_ids.resolve has the rules and errors)."""
        return await job_ids.resolve(self._database, parts, who)

    async def list_jobs(
        self, wanted: Wanted, before: uuid.UUID | None, limit: int, who: Principal
    ) -> JobPage:
        """Jobs that are wanted, the newest or those older than `before`; of `limit` 0 LIMIT of
        them. Invalid: the filter is wrong, or the limit is beyond MOST_LIMIT. NotFound: `before` is
        no job, so that the empty page is not the last."""
        limit = limit or LIMIT
        if limit > MOST_LIMIT:
            raise Invalid(f"limit: expected 1 to {MOST_LIMIT}, got {limit}")
        found = await find.search(self._database, who, wanted, before, limit)
        page: list[Job] = []
        size = 0
        for first in range(0, len(found.jobs), STEP):
            ids = [one.id for one in found.jobs[first : first + STEP]]
            read = await self._database.run(functools.partial(jobs.of_ids, ids=ids))
            for job in await self._shown(read, with_spec=False):
                size += size_of(job)
                if size > PAGE_BYTES and page:
                    return JobPage(page, page[-1].job_id, 0)
                page.append(job)
        stopped_at = str(found.stopped_at) if found.stopped_at else None
        return JobPage(page, stopped_at, found.searched)

    async def find(
        self,
        wanted: Wanted,
        ids: Sequence[uuid.UUID],
        before: uuid.UUID | None,
        limit: int,
        who: Principal,
    ) -> Found:
        """The ids and states of jobs (find.find has the rules and errors)."""
        return await find.find(self._database, who, wanted, ids, before, limit)

    async def cancel(self, job_id: uuid.UUID, who: Principal) -> Job:
        """Asks for a job's end (Canceller.cancel has the errors); returns the job as it is then."""
        await self._reach.check(job_id, who)
        await self._canceller.cancel(job_id, who.actor)
        return await self.get(job_id, who)

    async def retry(self, job_id: uuid.UUID, new_id: uuid.UUID | None, who: Principal) -> Job:
        """Runs an ended job again (Retries.retry has the errors); returns the new job."""
        await self._reach.check(job_id, who)
        return await self.get(await self._retries.retry(job_id, new_id, who.actor), who)

    async def cancel_many(
        self, ids: Sequence[uuid.UUID], states: Sequence[str], who: Principal
    ) -> list[Answer]:
        """Asks for the end of jobs, only of those in one of the states if some are given
        (MassCanceller.cancel has the errors). Invalid: too many, or no such state."""
        find.check_number(ids)
        if len(states) > MOST_VALUES:
            raise Invalid(f"states: expected at most {MOST_VALUES}, got {len(states)}")
        known = [word(JobState, text, "state") for text in states]
        return await self._reach.answers(
            ids, who, lambda some: self._mass_canceller.cancel(some, known, who.actor)
        )

    async def retry_many(self, repeats: Sequence[Repeat], who: Principal) -> list[Answer]:
        """Runs jobs that have ended again (MassRetries.retry has the errors). Invalid: too many, or
        two with one new id."""
        find.check_number(repeats)
        if len({one.new for one in repeats}) < len(repeats):
            raise Invalid("new_job_id: expected another one for each job, got one twice")
        reached = await self._reach.of([one.old for one in repeats], who)
        mine = [one for one in repeats if one.old in reached]
        answers = iter(await self._mass_retries.retry(mine, who.actor))
        return [
            next(answers) if one.old in reached else change_many.not_found(one.old)
            for one in repeats
        ]

    async def timeline(self, job_id: uuid.UUID, who: Principal) -> Timeline:
        """The events of a job. NotFound: it has none, so there is no such job."""
        await self._reach.check(job_id, who)
        events, left_out = await self._database.run(lambda conn: job_story.timeline(conn, job_id))
        if not events:
            raise NotFound(f"no job {job_id}")
        return Timeline([job_shapes.of_event(event) for event in events], left_out)

    async def attempts(self, job_id: uuid.UUID, who: Principal) -> Attempts:
        """The attempts of a job. NotFound: there is no such job."""
        if not await self._database.run(lambda conn: jobs.of_project(conn, [job_id], who.project)):
            raise NotFound(f"no job {job_id}")
        found, more = await self._database.run(lambda conn: job_story.attempts(conn, job_id))
        return Attempts([job_shapes.of_attempt(one) for one in found], more)

    def read_logs(
        self, job_id: uuid.UUID, wanted: WantedLog, who: Principal
    ) -> AsyncIterator[LogPage]:
        """Pages of a job's log (LogReader.read)."""
        return self._logs.read(job_id, wanted, who)

    def wait(self, wanted: WantedEnds, who: Principal) -> AsyncIterator[EndsPage]:
        """Ends of jobs as they come (Ends.wait)."""
        return self._ends.wait(wanted, who)

    async def _shown(self, found: Sequence[jobs.Job], *, with_spec: bool = True) -> list[Job]:
        """Jobs as shapes, with words for why those that are PENDING wait."""
        waiting = any(job.state == JobState.PENDING for job in found)
        fleet = await self._waits.fleet() if waiting else []
        return [
            job_shapes.of_job(job, waiting_for(job, fleet), with_spec=with_spec) for job in found
        ]
