"""A job is created: the spec checked, then job, queue row, event and wake-up in one transaction.

Single creates that come together are one batch.
"""

import json
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from loguru import logger

from hodei.domain.errors import Conflict, Duplicate, HodeiError, Invalid, NotFound
from hodei.domain.ids import uuid7
from hodei.domain.job import FINAL
from hodei.domain.spec import normalise
from hodei.domain.worker import ACCEPT_WITHIN_S
from hodei.flow.batcher import Batcher
from hodei.flow.dispatch import JobDispatcher
from hodei.store import jobs
from hodei.store.database import Connection, Database
from hodei.store.jobs import NewJob

MOST_SPECS = 1000
"""Specs of one call."""


FEW = 8
"""Jobs of a batch that takes a claim along; where more come together, creates and claims overlap on two connections."""


class Created(NamedTuple):
    job_id: uuid.UUID | None
    existed: bool
    error: HodeiError | None


class Enqueuer:
    def __init__(self, database: Database, dispatcher: JobDispatcher) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._creates: Batcher[NewJob, str] = Batcher(self._flush, most=500, waiting=5000, rest=1.0)

    async def run(self) -> None:
        await self._creates.run()

    async def create(self, specs: Sequence[str], actor: str) -> list[Created]:
        """One answer for each spec, in order. Invalid for the whole call: too many of them. A refused spec does not touch the others."""
        if len(specs) > MOST_SPECS:
            raise Invalid(f"specs: expected at most {MOST_SPECS} in one call, got {len(specs)}")
        created: list[Created | None] = [None] * len(specs)
        new: dict[int, NewJob] = {}  # by place in the call
        for place, text in enumerate(specs):
            try:
                spec = normalise(text)
            except Invalid as error:
                created[place] = Created(None, existed=False, error=error)
            else:
                new[place] = NewJob(spec.id or uuid7(), f"{actor}:{spec.actor}" if spec.actor else actor, spec.normal)
        outcomes = await self._creates.submit_all(list(new.values()))
        for (place, job), outcome in zip(new.items(), outcomes, strict=True):
            created[place] = self._created(job, outcome)
        return [one for one in created if one]

    @staticmethod
    def _created(job: NewJob, outcome: str | Exception) -> Created:
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == "conflict":
            return Created(job.id, existed=False, error=Duplicate(f"id: job {job.id} exists with another spec"))
        if outcome == "created":
            about = {"correlation_id": job.spec.get("correlation_id", job.id), "actor": job.actor, "job_id": job.id}
            logger.bind(component="JobController", **about).info("Job created successfully (JobCreated)")
        return Created(job.id, existed=outcome == "existed", error=None)

    async def retry(self, old_id: uuid.UUID, new_id: uuid.UUID | None, actor: str) -> uuid.UUID:
        """A new job with the spec and correlation id of one that has ended; due at once. NotFound; Conflict: not final yet."""
        new = new_id or uuid7()

        async def repeat(conn: Connection) -> None:
            old = await jobs.get(conn, old_id)
            if old is None:
                raise NotFound(f"no job {old_id}")
            if old.state not in FINAL:
                raise Conflict(f"job {old_id} is {old.state}: only a job that has ended can be run again")
            spec = {key: value for key, value in json.loads(old.spec).items() if key != "run_at"}
            spec["correlation_id"] = old.correlation_id
            if (await jobs.create(conn, [NewJob(new, actor, spec)]))[new] == "conflict":
                raise Duplicate(f"id: job {new} exists with another spec")
            await jobs.name_origin(conn, new, old_id)

        await self._database.transact(repeat)
        self._dispatcher.wake()
        logger.bind(component="JobController", actor=actor, job_id=new).info("Job created successfully (JobCreated), repeats {}", old_id)
        return new

    async def _store(self, new: list[NewJob]) -> dict[uuid.UUID, str]:
        """A few jobs take a claim along, in the same transaction: on an idle system they are on their way to a worker at once."""
        if len(new) <= FEW:
            with self._dispatcher.along(new[0].spec.get("labels", {}), len(new)) as wish:
                if wish:
                    outcomes, claimed = await self._database.run(lambda conn: jobs.create_and_claim(conn, new, wish, ACCEPT_WITHIN_S))
                    await self._dispatcher.send(claimed.offers)
                    if len(claimed.offers) < len(new):
                        self._dispatcher.wake()
                    return outcomes
        outcomes = await self._database.run(lambda conn: jobs.create(conn, new))
        self._dispatcher.wake()
        return outcomes

    async def _flush(self, new: list[NewJob]) -> list[str]:
        """An id that comes twice in one batch is asked about twice: the second sees what the first stored."""
        first: dict[uuid.UUID, NewJob] = {}
        twice = [job for job in new if first.setdefault(job.id, job) is not job]
        outcomes = await self._store(list(first.values()))
        again: dict[int, str] = {}
        for job in twice:
            again[id(job)] = (await self._database.run(lambda conn, job=job: jobs.create(conn, [job])))[job.id]  # type: ignore[misc]
        return [again.get(id(job)) or outcomes[job.id] for job in new]
