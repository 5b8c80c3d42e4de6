"""An act of a sweep over many jobs, in which no job fails for another."""

import uuid
from collections.abc import Awaitable, Callable, Sequence

from hodei.domain.errors import Locked
from hodei.flow.set_aside import set_aside
from hodei.store import halves
from hodei.store.database import Connection, Database

ACTOR = "system:job_rescuer"


async def for_each_job(
    database: Database,
    jobs: Sequence[uuid.UUID],
    act: Callable[[Connection, list[uuid.UUID]], Awaitable[object]],
) -> None:
    """Runs `act` once for all jobs. A job that PostgreSQL refuses is set aside; one whose row is
    locked is found again by a later look."""

    async def together(some: list[uuid.UUID]) -> list[None]:
        await database.run(lambda conn: act(conn, some))
        return [None] * len(some)

    for job_id, answer in zip(jobs, await halves.each(jobs, together), strict=True):
        if isinstance(answer, Exception) and not isinstance(answer, Locked):
            await set_aside(database, [job_id], answer, ACTOR)
