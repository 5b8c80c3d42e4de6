"""Many jobs that have ended are run again by one call: as flow/retry.py does for one."""

from collections.abc import Iterator, Sequence

from loguru import logger

from hodei.access.limits import CallersDatabase
from hodei.domain.errors import Locked
from hodei.domain.job import FINAL, Creation, JobState
from hodei.domain.job_change import Change, Refusal
from hodei.domain.job_line import JobLine
from hodei.flow import change_many, job_lines
from hodei.flow.change_many import Answer
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.enqueue import not_created
from hodei.flow.in_parts import in_parts
from hodei.store import halves, retry_many, sqlstate
from hodei.store.database import Database
from hodei.store.retry_many import Repeat, Repeated

AT_FIRST, AT_MOST = 25, 200
"""Jobs of the first transaction and of the largest: their specs together have 50 MB at most, and those
of large specs take 7 ms a job on an idle machine."""


class MassRetries:
    """`callers` gives whoever asks a turn at the database."""

    def __init__(
        self, database: Database, callers: CallersDatabase, dispatcher: JobDispatcher
    ) -> None:
        self._database = database
        self._callers = callers
        self._dispatcher = dispatcher
        self._log = logger.bind(component="JobController")

    async def retry(self, repeats: Sequence[Repeat], actor: str) -> list[Answer]:
        """Creates the new jobs, in the order of `repeats`; returns an answer for each. The same
        call again makes the same jobs.

        Exhausted: no turn at the database. Unavailable: the database is away, or goes; what was
        created stands, and the same call goes on."""

        async def retry(part: list[Repeat]) -> list[Answer]:
            found = await halves.each(part, lambda some: self._retry(some, actor))
            return [_told(one, answer) for one, answer in zip(part, found, strict=True)]

        answers = await in_parts(repeats, AT_FIRST, AT_MOST, self._callers.turn, retry)
        self._dispatcher.wake()
        return answers

    async def _retry(self, part: list[Repeat], actor: str) -> list[Answer]:
        # The lines of a claim may come before ours; the events have the true order.
        done = await self._database.transact(lambda conn: retry_many.retry_many(conn, part, actor))
        job_lines.say(self._log, _lines(part, done, actor))
        return [_answer(one, done) for one in part]


def _told(repeat: Repeat, answer: Answer | Exception) -> Answer:
    if isinstance(answer, Locked):
        return change_many.locked(repeat.old, None)
    if isinstance(answer, Exception):
        words = f"PostgreSQL refuses to repeat job {repeat.old}: {sqlstate.primary(answer)}"
        return change_many.refused(repeat.old, Refusal.REFUSED, None, words)
    return answer


def _answer(repeat: Repeat, done: Repeated) -> Answer:
    old = done.old.get(repeat.old)
    outcome = done.outcomes.get(repeat.new)
    if old is None:
        return change_many.not_found(repeat.old)
    if old.state not in FINAL:
        words = f"job {repeat.old} is {old.state}: only a job that has ended can be run again"
        return change_many.refused(repeat.old, Refusal.NOT_ENDED, old.state, words)
    if outcome in (Creation.CONFLICT, Creation.TAKEN):
        words = f"new {not_created(repeat.new, outcome)}"
        return change_many.refused(repeat.old, Refusal.DUPLICATE, old.state, words)
    if outcome is None:
        why = "the database did not store the new one" if old.has_spec else "its spec is no object"
        words = f"job {repeat.old} cannot be run again: {why}"
        return change_many.refused(repeat.old, Refusal.REFUSED, old.state, words)
    return change_many.done(repeat.old, Change.RETRIED, JobState(old.state), repeat.new)


def _lines(part: Sequence[Repeat], done: Repeated, actor: str) -> Iterator[JobLine]:
    for one in part:
        if done.outcomes.get(one.new) == Creation.CREATED:
            words = f"Job created successfully (JobCreated), repeats {one.old}"
            yield JobLine(words, done.old[one.old].correlation_id, actor, one.new)
