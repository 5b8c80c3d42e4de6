"""The status of the whole system: one reading answers everybody who asks at the same time."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import hodei
from hodei.access.limits import CallersDatabase
from hodei.access.shared import SharedReading
from hodei.domain.errors import Unavailable
from hodei.domain.job import JobState, Waiting
from hodei.domain.worker import WorkerState
from hodei.fleet import fleet_shapes
from hodei.shapes.fleet import ListeningServer, Status
from hodei.store import (
    fleet_view,
    jobs,
    queue_view,
    schema,
    server,
    servers,
    sqlstate,
    worker_bootstrap_tokens,
)
from hodei.store.database import Connection

MOST_PROJECTS = 1000
"""Projects for which a reading is kept ready. When there are more, all are forgotten."""

Word = TypeVar("Word", JobState, WorkerState, Waiting)


class StatusReader:
    """Reads the status for callers. Each statement of it is bounded."""

    def __init__(self, database: CallersDatabase) -> None:
        self._database = database
        self._shared: dict[str | None, SharedReading[Status]] = {}  # by project; None: of all

    async def get(self, project: str | None) -> Status:
        """The state of the whole, as of this call; of jobs only those of the project, if one is
        named."""
        if project not in self._shared and len(self._shared) >= MOST_PROJECTS:
            self._shared.clear()  # a reading under way goes on for those who wait for it
        reading = self._shared.setdefault(
            project, SharedReading(functools.partial(self._read, project))
        )
        return await reading.get()

    async def _read(self, project: str | None) -> Status:
        listening = await self._servers()
        return await self._database.run(lambda conn: _read(conn, listening, project))

    async def _servers(self) -> list[ListeningServer]:
        """The servers; none where this role may not read them, which `hodei db check` says."""
        try:
            found = await self._database.run(servers.listed)
        except Unavailable as error:
            if not sqlstate.is_missing_right(error.__cause__):
                raise
            return []
        return [fleet_shapes.of_server(row) for row in found]


async def _read(
    conn: Connection, listening: Sequence[ListeningServer], project: str | None
) -> Status:
    queue = await queue_view.depth(conn, project)
    waiting = _all_of(Waiting, queue.waiting)
    unservable = await queue_view.unservable(conn, project)
    fleet = await fleet_view.summary(conn)
    root_workers, root_worker_names = await fleet_view.as_root(conn)
    return Status(
        jobs=_all_of(JobState, await jobs.count(conn, project)),
        workers=_all_of(WorkerState, fleet.by_state),
        queued=queue.ready + sum(waiting.values()),
        queued_ready=queue.ready,
        oldest_ready_s=queue.oldest_ready_s if queue.ready else None,
        oldest_servable_s=unservable.oldest_servable_s,
        slots=fleet.slots,
        slots_busy=fleet.busy_slots,
        tokens_usable=await worker_bootstrap_tokens.count_usable(conn),
        servers=await server.count(conn),
        version=hodei.__version__,
        schema_version=schema.VERSION,
        schema_revision=schema.REVISION,
        database=await server.database_version(conn),
        root_workers=root_workers,
        root_worker_names=root_worker_names,
        waiting=waiting,
        offered=queue.offered,
        unservable=unservable.jobs,
        ready_examined=unservable.looked_at,
        unservable_sets=[fleet_shapes.of_unservable(row) for row in unservable.sets],
        listening=list(listening),
        lost_after_s=min((s.lost_after_s for s in listening if s.lost_after_s), default=None),
    )


def _all_of(words: Iterable[Word], counted: Mapping[Word, int]) -> dict[str, int]:
    """A number for each of the words, so that a program need not know which may be missing."""
    return {str(word): counted.get(word, 0) for word in words}
