"""A job is created: the spec is checked, then job, queue row, event and wake-up are written in one
transaction.

Creates that come together are one batch.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from loguru import logger

from hodei.access.rests import rest_s
from hodei.domain.actor import with_addition
from hodei.domain.errors import Duplicate, HodeiError, Invalid, Locked, forget_frames
from hodei.domain.ids import uuid7
from hodei.domain.job import Creation
from hodei.domain.spec import normalise
from hodei.flow import named_secrets
from hodei.flow.create_queue import CreateQueue
from hodei.flow.creates import Creates
from hodei.flow.dispatch import JobDispatcher
from hodei.store import faults, sqlstate
from hodei.store.creation import NewJob
from hodei.store.database import Database

MOST_SPECS = 1000
"""Specs of one call."""

CHECKED_BYTES = 128 << 10
"""Bytes of specs that are checked at a stretch, in 1 to 8 ms by how busy the processor is; then all
others have their turn on the event loop. A spec of many short parts takes ten times as long, and is
followed by a rest."""

LEAST_BYTES = 1 << 10
"""Bytes that a short spec counts: what is the same for each takes as long."""

LONGEST_TEXT = 1 << 20
"""Characters of one spec as it came; its normal form is at most 256 KiB. To parse a longer one
would hold up all others."""


class Created(NamedTuple):
    """The answer to one spec: a job, or what is wrong with the spec."""

    job_id: uuid.UUID | None
    existed: bool  # the same id and spec had come before: it is the same job
    error: HodeiError | None


class Enqueuer:
    def __init__(self, database: Database, dispatcher: JobDispatcher) -> None:
        self._database = database
        self._queue = CreateQueue(Creates(database, dispatcher))

    async def run(self) -> None:
        """Stores creates, for ever."""
        await self._queue.run()

    async def create(self, specs: Sequence[str], actor: str, project: str) -> list[Created]:
        """Creates a job of each spec in a project; a refused spec does not touch the others. Returns an answer
        for each, in order.

        Invalid: there are more than MOST_SPECS. Unavailable: the database is away."""
        if len(specs) > MOST_SPECS:
            raise Invalid(f"specs: expected at most {MOST_SPECS} in one call, got {len(specs)}")
        created: list[Created | None] = [None] * len(specs)
        new: dict[int, NewJob] = {}  # by place in the call
        async for place, job in checked(specs, actor, project):
            if isinstance(job, Invalid):
                created[place] = Created(None, existed=False, error=job)
            else:
                new[place] = job
        for place, refusal in (await named_secrets.refused(self._database, new)).items():
            created[place] = Created(None, existed=False, error=refusal)
            del new[place]
        outcomes = await self._queue.store(list(new.values()), sum(map(len, specs)))
        for (place, job), outcome in zip(new.items(), outcomes, strict=True):
            created[place] = _created(job, outcome)
        return [one for one in created if one]


def _created(job: NewJob, outcome: Creation | Exception) -> Created:
    """HodeiError: the database is away, or this server is; that concerns the whole call."""
    if outcome in (Creation.CONFLICT, Creation.TAKEN):
        error: HodeiError = not_created(job.id, Creation(outcome))
    elif isinstance(outcome, Creation):
        return Created(job.id, existed=outcome == Creation.EXISTED, error=None)
    elif isinstance(outcome, Locked):
        error = cannot_now(job, outcome)
    elif isinstance(outcome, Invalid):
        error = outcome
    elif isinstance(outcome, HodeiError):
        raise outcome
    else:
        words = sqlstate.primary(outcome)
        log = logger.bind(component="JobController", job_id=job.id)
        log.error("job cannot be stored: {}", words)
        error = faults.refusal(outcome)
    return Created(job.id, existed=False, error=error)


def cannot_now(job: NewJob, error: Locked) -> Locked:
    """Why a job is not stored: somebody holds its id, or somebody's function does not come to its
    end for it."""
    return Locked(f"id: job {job.id} cannot be stored now, try again: {error}")


def not_created(job_id: uuid.UUID, outcome: Creation) -> Duplicate:
    """Why there is no new job of this id: an outcome of CONFLICT or TAKEN in words."""
    if outcome == Creation.TAKEN:
        return Duplicate(f"id: this id is taken, expected another one than {job_id}")
    return Duplicate(f"id: job {job_id} exists with another spec")


async def checked(
    specs: Sequence[str], actor: str, project: str
) -> AsyncIterator[tuple[int, NewJob | Invalid]]:
    """Yields for each spec its place in the call and the job that it describes, or what is wrong
    with it."""
    size = 0
    for place, text in enumerate(specs):
        counted = max(len(text), LEAST_BYTES)
        size += counted
        if size > CHECKED_BYTES:
            await asyncio.sleep(0)
            size = counted
        begun = time.perf_counter()
        try:
            job: NewJob | Invalid = _job_of(text, actor, project)
        except Invalid as error:
            forget_frames(error)
            job = error
        if pause_s := rest_s(begun):
            await asyncio.sleep(pause_s)
        yield place, job


def _job_of(text: str, actor: str, project: str) -> NewJob:
    if len(text) > LONGEST_TEXT:
        raise Invalid(f"spec: expected at most {LONGEST_TEXT} characters of JSON, got {len(text)}")
    spec = normalise(text)
    said = with_addition(actor, spec.actor) if spec.actor else actor
    return NewJob(spec.id or uuid7(), said, spec.normal, project)
