"""The state of the whole, read once for all who ask at the same time."""

from collections.abc import Sequence

import hodei
from hodei.access.limits import CallersDatabase
from hodei.access.shared import SharedReading
from hodei.domain.errors import Unavailable
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


class StatusReader:
    """Reads the status for callers. Each statement of it is bounded."""

    def __init__(self, database: CallersDatabase) -> None:
        self._database = database
        self._shared = SharedReading(self._read)

    async def get(self) -> Status:
        """The state of the whole, as of this call."""
        return await self._shared.get()

    async def _read(self) -> Status:
        listening = await self._servers()
        return await self._database.run(lambda conn: _read(conn, listening))

    async def _servers(self) -> list[ListeningServer]:
        """The servers; none where this role may not read them, which `hodei db check` says."""
        try:
            found = await self._database.run(servers.listed)
        except Unavailable as error:
            if not sqlstate.is_missing_right(error.__cause__):
                raise
            return []
        return [fleet_shapes.of_server(row) for row in found]


async def _read(conn: Connection, listening: Sequence[ListeningServer]) -> Status:
    queue = await queue_view.depth(conn)
    waiting = {str(cause): number for cause, number in queue.waiting.items()}
    unservable = await queue_view.unservable(conn)
    fleet = await fleet_view.summary(conn)
    root_workers, root_worker_names = await fleet_view.as_root(conn)
    return Status(
        jobs={str(state): number for state, number in (await jobs.count(conn)).items()},
        workers={str(state): number for state, number in fleet.by_state.items()},
        queued=queue.ready + sum(waiting.values()),
        queued_ready=queue.ready,
        oldest_ready_s=queue.oldest_ready_s if queue.ready else None,
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
