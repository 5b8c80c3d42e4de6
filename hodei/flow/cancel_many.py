"""Cancels many jobs in one call. Each transaction has so few of them that nobody waits long for
their rows."""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from loguru import logger

from hodei.access.limits import CallersDatabase
from hodei.domain.errors import Locked
from hodei.domain.job import FINAL, JobState
from hodei.domain.job_change import Change, Refusal
from hodei.domain.job_line import JobLine
from hodei.flow import change_many, job_lines
from hodei.flow.cancel import AGAIN_S, TRIES
from hodei.flow.change_many import Answer
from hodei.flow.in_parts import in_parts
from hodei.flow.set_aside import set_aside
from hodei.store import cancel_many, halves, sqlstate
from hodei.store.cancel_many import Cancelled
from hodei.store.database import Database

AT_FIRST, AT_MOST = 250, 1000
"""Jobs of the first transaction and of the largest, which takes some 0.1 s."""


class _Outcome(NamedTuple):
    """What a try has done to one job: an answer, or None where it is to be tried again."""

    answer: Answer | None


class MassCanceller:
    """`callers` gives whoever asks a turn at the database."""

    def __init__(self, database: Database, callers: CallersDatabase) -> None:
        self._database = database
        self._callers = callers
        self._log = logger.bind(component="JobController")

    async def cancel(
        self, ids: Sequence[uuid.UUID], states: Sequence[JobState], actor: str
    ) -> list[Answer]:
        """Cancels jobs, those of `states` alone if there are some; returns an answer for each, in
        order. A row that somebody's transaction holds is tried TRIES times.

        Exhausted: no turn at the database. Unavailable: the database is away; what was done before
        stands, and is answered as ended when the call is repeated."""
        answers: dict[uuid.UUID, Answer] = {}
        left = list(dict.fromkeys(ids))
        for tries_left in reversed(range(TRIES)):
            cancel = partial(self._cancel, states=states, actor=actor, last=not tries_left)
            found = await in_parts(left, AT_FIRST, AT_MOST, self._callers.turn, cancel)
            answers |= {job: one.answer for job, one in zip(left, found, strict=True) if one.answer}
            left = [job for job in left if job not in answers]
            if not left:
                break
            await asyncio.sleep(AGAIN_S)
        return [answers[job] for job in ids]

    async def _cancel(
        self, some: list[uuid.UUID], *, states: Sequence[JobState], actor: str, last: bool
    ) -> list[_Outcome]:
        """What one try has done to these jobs; after the last one there is an answer for each."""

        async def attempt(part: list[uuid.UUID]) -> list[_Outcome]:
            done = await self._database.run(
                lambda conn: cancel_many.cancel_many(conn, part, states, actor)
            )
            job_lines.say(self._log, _lines(done, actor))
            return [_Outcome(_answer(job, done, states, last=last)) for job in part]

        outcomes = []
        for job, outcome in zip(some, await halves.each(some, attempt), strict=True):
            if isinstance(outcome, Locked):
                outcomes.append(_Outcome(change_many.locked(job, None) if last else None))
            elif isinstance(outcome, Exception):
                outcomes.append(_Outcome(await self._refused(job, outcome, actor)))
            else:
                outcomes.append(outcome)
        return outcomes

    async def _refused(self, job: uuid.UUID, error: Exception, actor: str) -> Answer:
        """Sets a job aside whose row cannot be written, so that it ends all the same."""
        await set_aside(self._database, [job], error, actor)
        words = f"PostgreSQL refuses to cancel job {job}, which was set aside: "
        return change_many.refused(job, Refusal.REFUSED, None, words + sqlstate.primary(error))


def _answer(
    job: uuid.UUID, done: Cancelled, states: Sequence[JobState], *, last: bool
) -> Answer | None:
    """What to answer for a job; None: it is locked, or on its way between queue and worker, and to
    be tried again."""
    now = done.now.get(job)
    if now is None:
        return change_many.not_found(job)
    if job in done.ended:
        return change_many.done(job, Change.CANCELLED, now.state)
    if states and now.state not in states and job not in done.requested:
        words = f"job {job} is {now.state}: no longer what was asked for"
        return change_many.refused(job, Refusal.OTHER_STATE, now.state, words)
    if now.state in FINAL:
        words = f"job {job} is already {now.state}: a final state never changes"
        return change_many.refused(job, Refusal.ENDED, now.state, words)
    if now.cancel_requested:
        return change_many.done(job, Change.CANCEL_REQUESTED, now.state)
    return change_many.locked(job, now.state) if last else None


def _lines(done: Cancelled, actor: str) -> Iterator[JobLine]:
    for job, correlation in done.ended.items():
        yield JobLine(job_lines.CANCELLED, correlation, actor, job)
    for job, (correlation, worker) in done.requested.items():
        yield JobLine("JobCancelRequested", correlation, actor, job, worker)
