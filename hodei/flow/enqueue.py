"""A job is created: the spec checked, then job, queue row, event and wake-up in one transaction.

Single creates that come together are one batch.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import psycopg
from loguru import logger

from hodei.domain.errors import Conflict, Duplicate, HodeiError, Invalid, Locked, NotFound
from hodei.domain.ids import uuid7
from hodei.domain.job import FINAL, Creation
from hodei.domain.job_line import JobLine
from hodei.domain.spec import normalise
from hodei.domain.timing import ACCEPT_WITHIN_S
from hodei.flow import job_lines
from hodei.flow.batcher import Batcher
from hodei.flow.dispatch import JobDispatcher
from hodei.store import creation, jobs, sqlstate
from hodei.store.claims import Claimed, ClaimRequest
from hodei.store.creation import NewJob
from hodei.store.database import Connection, Database

MOST_SPECS = 1000
"""Specs of one call."""


MOST_BYTES = 4 << 20
"""Of the specs of one batch: as many as one call may bring."""

MOST_APART = 100
"""Creates whose ids are locked, waiting to be tried one by one. When there are more they are
refused at once."""

LOCKED_S = 5.0
"""For so long an id that was locked goes apart."""

SWALLOWED = Invalid(
    "the database did not store this job: a trigger on one of Hodei's tables swallowed it"
)

CHECKED_BYTES = 128 << 10
"""Of specs that are checked at a stretch, some 2 ms; then all others have their turn on the event
loop."""

LONGEST_TEXT = 1 << 20
"""Characters of one spec as it came; its normal form is at most 256 KiB. To parse more of it would
hold up everybody for as long."""

FEW = 8
"""Jobs of a batch that takes a claim along; where more come together, creates and claims overlap on
two connections."""


class Created(NamedTuple):
    job_id: uuid.UUID | None
    existed: bool
    error: HodeiError | None


class Enqueuer:
    def __init__(self, database: Database, dispatcher: JobDispatcher) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._log = logger.bind(component="JobController")
        self._creates: Batcher[NewJob, Creation] = Batcher(
            self._flush, most=500, most_bytes=MOST_BYTES, waiting=5000, rest=1.0
        )
        self._apart: Batcher[NewJob, Creation] = Batcher(
            self._flush_alone, most=1, waiting=MOST_APART
        )
        self._locked: dict[
            uuid.UUID, float
        ] = {}  # ids that somebody's open transaction is creating → until when they go apart

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._creates.run())
            await self._apart.run()

    async def create(self, specs: Sequence[str], actor: str) -> list[Created]:
        """One answer for each spec, in order. Invalid for the whole call: too many of them. A
        refused spec does not touch the others."""
        if len(specs) > MOST_SPECS:
            raise Invalid(f"specs: expected at most {MOST_SPECS} in one call, got {len(specs)}")
        created: list[Created | None] = [None] * len(specs)
        new: dict[int, NewJob] = {}  # by place in the call
        async for place, job in checked(specs, actor):
            if isinstance(job, Invalid):
                created[place] = Created(None, existed=False, error=job)
            else:
                new[place] = job
        outcomes = await self._submit(list(new.values()), sum(map(len, specs)))
        for (place, job), outcome in zip(new.items(), outcomes, strict=True):
            created[place] = self._created(job, outcome)
        return [one for one in created if one]

    async def _submit(self, new: list[NewJob], size: int) -> list[Creation | Exception]:
        """Ids that turned out locked go apart for a while: they hold up nobody but each other."""
        now = time.monotonic()
        self._locked = {job_id: until for job_id, until in self._locked.items() if until > now}
        together = [job for job in new if job.id not in self._locked]
        outcomes = dict(
            zip(map(id, together), await self._creates.submit_all(together, size), strict=True)
        )
        for job in new:
            if id(job) not in outcomes:
                (outcomes[id(job)],) = await self._try_apart(job)
            if isinstance(outcomes[id(job)], Locked) and len(self._locked) < MOST_APART:
                self._locked[job.id] = now + LOCKED_S
        return [outcomes[id(job)] for job in new]

    async def _try_apart(self, job: NewJob) -> list[Creation | Exception]:
        if self._apart.full:
            return [
                Locked(
                    f"id: job {job.id} is being created by another transaction, and many wait for such ids"
                )
            ]
        return await self._apart.submit_all([job])

    @staticmethod
    def _created(job: NewJob, outcome: Creation | Exception) -> Created:
        if isinstance(outcome, Locked):
            words = f"id: job {job.id} is being created or changed by another transaction that is still open; try again"
            return Created(job.id, existed=False, error=Locked(words))
        if isinstance(outcome, Invalid):
            return Created(job.id, existed=False, error=outcome)
        if isinstance(outcome, HodeiError):
            raise outcome
        if isinstance(outcome, Exception):
            logger.bind(component="JobController", job_id=job.id).error(
                "job cannot be stored: {}", sqlstate.primary(outcome)
            )
            return Created(
                job.id,
                existed=False,
                error=Invalid(f"PostgreSQL refuses this job: {sqlstate.primary(outcome)}"),
            )
        if outcome == Creation.CONFLICT:
            return Created(
                job.id, existed=False, error=Duplicate(f"id: job {job.id} exists with another spec")
            )
        return Created(job.id, existed=outcome == Creation.EXISTED, error=None)

    async def retry(self, old_id: uuid.UUID, new_id: uuid.UUID | None, actor: str) -> uuid.UUID:
        """A new job with the spec and correlation id of one that has ended; due at once. NotFound;
        Conflict: not final yet."""
        new = new_id or uuid7()

        async def repeat(conn: Connection) -> str:
            old = await jobs.get(conn, old_id)
            if old is None:
                raise NotFound(f"no job {old_id}")
            if old.state not in FINAL:
                raise Conflict(
                    f"job {old_id} is {old.state}: only a job that has ended can be run again"
                )
            spec = {key: value for key, value in json.loads(old.spec).items() if key != "run_at"}
            spec["correlation_id"] = old.correlation_id
            if (await creation.create(conn, [NewJob(new, actor, spec)]))[new] == Creation.CONFLICT:
                raise Duplicate(f"id: job {new} exists with another spec")
            await creation.name_origin(conn, new, old_id)
            return old.correlation_id

        correlation_id = await self._database.transact(repeat)
        words = f"Job created successfully (JobCreated), repeats {old_id}"
        job_lines.say(self._log, [JobLine(words, correlation_id, actor, new)])
        self._dispatcher.wake()
        return new

    async def _store(self, new: list[NewJob]) -> dict[uuid.UUID, Creation]:
        """A few jobs take a claim along, in the same transaction: on an idle system they are on
        their way to a worker at once."""
        if len(new) <= FEW:
            with self._dispatcher.along(new[0].spec.get("labels", {}), len(new)) as wish:
                if wish:
                    outcomes, claimed = await self._create_and_claim(new, wish)
                    self._say(new, outcomes)
                    await self._dispatcher.send(claimed.offers)
                    if len(claimed.offers) < len(new):
                        self._dispatcher.wake()
                    return outcomes
        outcomes = await self._database.run(
            lambda conn: creation.create(conn, new), idempotent=True
        )
        self._say(new, outcomes)
        self._dispatcher.wake()
        return outcomes

    def _say(self, new: list[NewJob], outcomes: dict[uuid.UUID, Creation]) -> None:
        words = "Job created successfully (JobCreated)"
        lines = (
            JobLine(words, job.spec.get("correlation_id", str(job.id)), job.actor, job.id)
            for job in new
            if outcomes.get(job.id) == Creation.CREATED
        )
        job_lines.say(self._log, lines)

    async def _create_and_claim(
        self, new: list[NewJob], wish: ClaimRequest
    ) -> tuple[dict[uuid.UUID, Creation], Claimed]:
        """What keeps the claim from being made must not keep the jobs from being created."""
        try:
            return await self._database.run(
                lambda conn: creation.create_and_claim(conn, new, wish, ACCEPT_WITHIN_S)
            )
        except (Locked, psycopg.Error):
            return await self._database.run(
                lambda conn: creation.create(conn, new), idempotent=True
            ), Claimed([], None)

    async def _flush(self, new: list[NewJob]) -> list[Creation | Invalid]:
        """An id that comes twice in one batch is asked about twice: the second sees what the first
        stored."""
        first: dict[uuid.UUID, NewJob] = {}
        twice = [job for job in new if first.setdefault(job.id, job) is not job]
        outcomes = await self._store(list(first.values()))
        again: dict[int, Creation | Invalid] = {}
        for job in twice:
            again[id(job)] = (await self._flush_alone([job]))[0]
        return [
            again[id(job)] if id(job) in again else outcomes.get(job.id, SWALLOWED) for job in new
        ]

    async def _flush_alone(self, new: list[NewJob]) -> list[Creation | Invalid]:
        outcomes = await self._database.run(
            lambda conn: creation.create(conn, new), idempotent=True
        )
        self._say(new, outcomes)
        return [outcomes.get(job.id, SWALLOWED) for job in new]


async def checked(specs: Sequence[str], actor: str) -> AsyncIterator[tuple[int, NewJob | Invalid]]:
    """The job that each spec describes, or what is wrong with it, with its place in the call."""
    size = 0
    for place, text in enumerate(specs):
        size += len(text)
        if size > CHECKED_BYTES:
            await asyncio.sleep(0)
            size = len(text)
        try:
            if len(text) > LONGEST_TEXT:
                raise Invalid(
                    f"spec: expected at most {LONGEST_TEXT} characters of JSON, got {len(text)}"
                )
            spec = normalise(text)
        except Invalid as error:
            yield place, error
        else:
            yield (
                place,
                NewJob(
                    spec.id or uuid7(),
                    f"{actor}:{spec.actor}" if spec.actor else actor,
                    spec.normal,
                ),
            )
