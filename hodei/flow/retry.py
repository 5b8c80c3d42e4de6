"""A job that has ended is run again: as a new job, with the spec and the correlation id of the
old one, which it names, and in its project."""

import json
import uuid

from loguru import logger

from hodei.access.limits import CallersDatabase
from hodei.domain.errors import Conflict, NotFound
from hodei.domain.ids import uuid7
from hodei.domain.job import FINAL, Creation
from hodei.domain.job_line import JobLine
from hodei.flow import job_lines
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.enqueue import not_created
from hodei.store import creation, jobs
from hodei.store.creation import NewJob
from hodei.store.database import Connection, Database


class Retries:
    """`callers` gives whoever asks for a retry a turn at the database."""

    def __init__(
        self, database: Database, callers: CallersDatabase, dispatcher: JobDispatcher
    ) -> None:
        self._database = database
        self._callers = callers
        self._dispatcher = dispatcher

    async def retry(self, old_id: uuid.UUID, new_id: uuid.UUID | None, actor: str) -> uuid.UUID:
        """Creates the new job, due at once, and returns its id: `new_id` if it is given, so that a
        repeated call makes one job.

        NotFound. Conflict: the old job has not ended. Duplicate: the new id has another spec.
        Locked: somebody holds the new id, or somebody's function does not come to its end.
        Exhausted: no turn at the database."""
        new = NewJob(new_id or uuid7(), actor, {})

        async def repeat(conn: Connection) -> str:
            return await _repeat(conn, old_id, new)

        async with self._callers.turn():
            correlation_id = await self._database.transact(repeat)
        words = f"Job created successfully (JobCreated), repeats {old_id}"
        log = logger.bind(component="JobController")
        job_lines.say(log, [JobLine(words, correlation_id, actor, new.id)])
        self._dispatcher.wake()
        return new.id


async def _repeat(conn: Connection, old_id: uuid.UUID, new: NewJob) -> str:
    """Returns the correlation id of both."""
    old = await jobs.get(conn, old_id)
    if old is None:
        raise NotFound(f"no job {old_id}")
    if old.state not in FINAL:
        raise Conflict(f"job {old_id} is {old.state}: only a job that has ended can be run again")
    spec = json.loads(old.spec)
    if not isinstance(spec, dict):
        raise Conflict(f"job {old_id} cannot be run again: its spec is no object")
    spec.pop("run_at", None)
    spec["correlation_id"] = old.correlation_id
    outcomes = await creation.create_briefly(conn, [new._replace(spec=spec, project=old.project)])
    if outcomes[new.id] in (Creation.CONFLICT, Creation.TAKEN):
        raise not_created(new.id, outcomes[new.id])
    await creation.name_origin(conn, new.id, old_id)
    return old.correlation_id
