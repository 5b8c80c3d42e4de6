"""A job is created: the spec checked, then job, queue row, event and wake-up in one transaction.

Single creates that come together are one batch.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from loguru import logger

from hodei.domain.errors import Duplicate, HodeiError, Invalid
from hodei.domain.ids import uuid7
from hodei.domain.spec import normalise
from hodei.flow.batcher import Batcher
from hodei.flow.dispatch import JobDispatcher
from hodei.store import jobs
from hodei.store.database import Database
from hodei.store.jobs import NewJob

MOST_SPECS = 1000
"""Specs of one call."""


class Created(NamedTuple):
    job_id: uuid.UUID | None
    existed: bool
    error: HodeiError | None


class Enqueuer:
    def __init__(self, database: Database, dispatcher: JobDispatcher) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._creates: Batcher[NewJob, str] = Batcher(self._flush, most=500, waiting=5000)

    async def run(self) -> None:
        await self._creates.run()

    async def create(self, specs: Sequence[str], actor: str) -> list[Created]:
        """One answer for each spec, in order. Invalid for the whole call: too many of them. A refused spec does not touch the others."""
        if len(specs) > MOST_SPECS:
            raise Invalid(f"specs: expected at most {MOST_SPECS} in one call, got {len(specs)}")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._create(spec, actor)) for spec in specs]
        return [task.result() for task in tasks]

    async def _create(self, text: str, caller: str) -> Created:
        try:
            spec = normalise(text)
        except Invalid as error:
            return Created(None, existed=False, error=error)
        actor = f"{caller}:{spec.actor}" if spec.actor else caller
        new = NewJob(spec.id or uuid7(), actor, spec.normal)
        outcome = await self._creates.submit(new)
        if outcome == "conflict":
            return Created(new.id, existed=False, error=Duplicate(f"id: job {new.id} exists with another spec"))
        if outcome == "created":
            logger.bind(
                component="JobController",
                correlation_id=spec.normal.get("correlation_id", new.id),
                actor=actor,
                job_id=new.id,
            ).info("Job created successfully (JobCreated)")
        return Created(new.id, existed=outcome == "existed", error=None)

    async def _flush(self, new: list[NewJob]) -> list[str]:
        """An id that comes twice in one batch is asked about twice: the second sees what the first stored."""
        first: dict[uuid.UUID, NewJob] = {}
        twice = [job for job in new if first.setdefault(job.id, job) is not job]
        outcomes = await self._database.run(lambda conn: jobs.create(conn, list(first.values())))
        self._dispatcher.wake()
        again: dict[int, str] = {}
        for job in twice:
            again[id(job)] = (await self._database.run(lambda conn, job=job: jobs.create(conn, [job])))[job.id]  # type: ignore[misc]
        return [again.get(id(job)) or outcomes[job.id] for job in new]
