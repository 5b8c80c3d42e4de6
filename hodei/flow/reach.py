"""Which jobs a caller reaches: who is bound to a project is answered for a job of another one exactly
as for a job that does not exist.

The check may stand before what is done, in a transaction of its own: a job's project never
changes."""

import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence

from hodei.access.limits import CallersDatabase
from hodei.access.principal import Principal
from hodei.domain.errors import NotFound
from hodei.flow import change_many
from hodei.flow.change_many import Answer
from hodei.store import jobs


class Reach:
    """Who is bound to no project is not checked, and costs nothing."""

    def __init__(self, database: CallersDatabase) -> None:
        self._database = database

    async def of(self, ids: Sequence[uuid.UUID], who: Principal) -> Collection[uuid.UUID]:
        """Returns those of the ids that the caller may ask about."""
        if who.project is None:
            return set(ids)
        return await self._database.run(lambda conn: jobs.of_project(conn, ids, who.project))

    async def check(self, job_id: uuid.UUID, who: Principal) -> None:
        """NotFound: the caller reaches no such job."""
        if not await self.of([job_id], who):
            raise NotFound(f"no job {job_id}")

    async def answers(
        self,
        ids: Sequence[uuid.UUID],
        who: Principal,
        ask: Callable[[list[uuid.UUID]], Awaitable[list[Answer]]],
    ) -> list[Answer]:
        """Asks for what the caller reaches of the ids, and returns an answer for each, in order."""
        reached = await self.of(ids, who)
        mine = [job_id for job_id in ids if job_id in reached]
        answers = iter(await ask(mine))
        return [
            next(answers) if job_id in reached else change_many.not_found(job_id) for job_id in ids
        ]
