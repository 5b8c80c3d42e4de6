"""Several jobs are created together or not at all: the way of a call that says `all_or_nothing`.

Each call has a transaction of its own, apart from the batch that other creates share: what it waits
for, it waits for alone.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import psycopg
from loguru import logger

from hodei.access.limits import CallersDatabase
from hodei.domain.errors import Aborted, Duplicate, HodeiError, Invalid, Locked, Unavailable
from hodei.domain.job import Creation
from hodei.flow import job_lines, named_secrets
from hodei.flow.creates import SWALLOWED
from hodei.flow.enqueue import MOST_SPECS, Created, cannot_now, checked, not_created
from hodei.store import creation, faults, halves, sqlstate
from hodei.store.creation import NewJob
from hodei.store.database import Connection, Database

AT_ONCE = 2
"""Calls that store at the same time. Further ones wait here, and leave the server's connections to
others."""


class _NotStored(HodeiError):
    """Rolls the transaction back; `refused` has what was refused, by place in the call."""

    def __init__(self, refused: dict[int, HodeiError]) -> None:
        self.refused = refused


class AllOrNothing:
    """`callers` gives whoever calls a turn at the database."""

    def __init__(self, database: Database, callers: CallersDatabase) -> None:
        self._database = database
        self._callers = callers
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def create(self, specs: Sequence[str], actor: str, project: str) -> list[Created]:
        """Returns an answer for each spec, in order: all of them are jobs, or each says why none
        is.

        Invalid: there are more than MOST_SPECS. Exhausted: no turn at the database. Dispatchers are
        woken by the notification that goes with the commit.
        """
        if len(specs) > MOST_SPECS:
            raise Invalid(f"specs: expected at most {MOST_SPECS} in one call, got {len(specs)}")
        new, refused = await _read(specs, actor, project)
        if not refused:
            refused |= await named_secrets.refused(self._database, dict(enumerate(new)))
        if not refused:
            try:
                async with self._callers.turn(), self._turns:
                    outcomes = await self._store(new)
                log = logger.bind(component="JobController")
                job_lines.say(log, job_lines.of_creates(_each_once(new), outcomes))
                return [
                    Created(job.id, existed=outcomes[job.id] == Creation.EXISTED, error=None)
                    for job in new
                ]
            except _NotStored as end:
                refused = end.refused
        return [
            Created(None, existed=False, error=refused.get(place) or _aborted(refused))
            for place in range(len(specs))
        ]

    async def _store(self, new: list[NewJob]) -> dict[uuid.UUID, Creation]:
        try:
            return await self._try(new)
        except (Locked, psycopg.Error) as error:  # of a row: what is of the server is Unavailable
            if isinstance(error, Locked) and not sqlstate.is_slow(error):
                raise _held() from error
            found = await halves.each(new, self._probe, error)
            if not (refused := _of_rows(new, found)):
                if sqlstate.is_slow(error):
                    raise _too_slow(len(new), error) from error
                raise
            raise _NotStored(refused) from None

    async def _probe(self, new: list[NewJob]) -> list[None]:
        """Tries whether PostgreSQL takes these jobs; they are not kept."""
        try:
            await self._try(new, keep=False)
        except _NotStored:
            pass
        return [None] * len(new)

    async def _try(self, new: Sequence[NewJob], *, keep: bool = True) -> dict[uuid.UUID, Creation]:
        """Stores the jobs. _NotStored: an id exists with another spec, a trigger swallowed a row,
        or `keep` is false."""

        async def store(conn: Connection) -> dict[uuid.UUID, Creation]:
            outcomes = await creation.create_briefly(conn, _each_once(new))
            refused = _refused(new, outcomes)
            if refused or not keep:
                raise _NotStored(refused)
            return outcomes

        return await self._database.transact(store)


async def _read(
    specs: Sequence[str], actor: str, project: str
) -> tuple[list[NewJob], dict[int, HodeiError]]:
    """Returns the jobs that the specs describe, and by place what is wrong: a spec that is refused,
    or an id that comes with two specs."""
    new: list[NewJob] = []
    refused: dict[int, HodeiError] = {}
    seen: dict[uuid.UUID, dict[str, Any]] = {}
    async for place, job in checked(specs, actor, project):
        if isinstance(job, Invalid):
            refused[place] = job
            continue
        if seen.setdefault(job.id, job.spec) != job.spec:
            refused[place] = Duplicate(f"id: job {job.id} comes with another spec in the same call")
        new.append(job)
    return new, refused


def _each_once(new: Sequence[NewJob]) -> list[NewJob]:
    return list({job.id: job for job in reversed(new)}.values())[::-1]


def _refused(new: Sequence[NewJob], outcomes: dict[uuid.UUID, Creation]) -> dict[int, HodeiError]:
    refused: dict[int, HodeiError] = {}
    for place, job in enumerate(new):
        outcome = outcomes.get(job.id)
        if outcome in (Creation.CONFLICT, Creation.TAKEN):
            refused[place] = not_created(job.id, Creation(outcome))
        elif outcome is None:
            refused[place] = SWALLOWED
    return refused


def _of_rows(new: Sequence[NewJob], answers: Sequence[Exception | None]) -> dict[int, HodeiError]:
    return {
        place: cannot_now(job, error) if isinstance(error, Locked) else faults.refusal(error)
        for place, (job, error) in enumerate(zip(new, answers, strict=True))
        if isinstance(error, Exception)
    }


def _aborted(refused: dict[int, HodeiError]) -> Aborted:
    count = len(refused)
    return Aborted(
        f"not stored: {count} other spec{'s' if count > 1 else ''} of the call {'were' if count > 1 else 'was'} refused"
    )


def _too_slow(count: int, error: Exception) -> Unavailable:
    return Unavailable(
        f"{count} jobs in one transaction take longer than a statement may run; nothing was stored:"
        f" send fewer at once, or not all or nothing (`--partial`): {error}"
    )


def _held() -> Locked:
    return Locked(
        "an id of this call is held by a transaction that is still open; nothing was stored, try again"
    )
