"""One batch of creates: the jobs are stored, and each gets its outcome."""

from loguru import logger

from hodei.domain.errors import Invalid, Locked
from hodei.domain.job import Creation
from hodei.flow import job_lines
from hodei.flow.dispatch import JobDispatcher
from hodei.store import creation
from hodei.store.creation import NewJob
from hodei.store.database import Database

SWALLOWED = Invalid(
    "the database did not store this job: a trigger on one of Hodei's tables swallowed it"
)


class Creates:
    def __init__(self, database: Database, dispatcher: JobDispatcher) -> None:
        self._database = database
        self._dispatcher = dispatcher

    async def store(self, new: list[NewJob]) -> list[Creation | Locked | Invalid]:
        """Stores a batch of different ids and has it dispatched."""
        outcomes = await self._dispatcher.create_and_dispatch(new)
        return [outcomes.get(job.id, SWALLOWED) for job in new]

    async def store_alone(self, new: list[NewJob]) -> list[Creation | Invalid]:
        """Stores jobs that others must not wait for. Dispatchers are woken by the notification that
        goes with the commit."""
        outcomes = await self._database.run(
            lambda conn: creation.create_briefly(conn, new), idempotent=True
        )
        log = logger.bind(component="JobController")
        job_lines.say(log, job_lines.of_creates(new, outcomes))
        return [outcomes.get(job.id, SWALLOWED) for job in new]
