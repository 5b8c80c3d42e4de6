"""A worker has found containers of other workers of this cluster on its engine: it is told which of
them nobody will end."""

from collections.abc import Sequence

from loguru import logger

from hodei.fleet.messages import Abandoned
from hodei.fleet.stream import WorkerStream
from hodei.store import cluster, leftovers
from hodei.store.database import Connection, Database
from hodei.store.leftovers import Leftover


async def judge_leftovers(
    database: Database, stream: WorkerStream, found: Sequence[Leftover]
) -> None:
    """Answers a worker. A copy of a database knows nothing of the containers that carry its id: it
    gives no answer."""
    gone = await database.run(lambda conn: _abandoned(conn, found))
    if gone:
        stream.send(Abandoned(gone))
        logger.bind(component="JobController", worker_id=stream.worker_id).info(
            "{} containers of workers that are gone are removed, the first is of lease {}",
            len(gone),
            gone[0],
        )


async def _abandoned(conn: Connection, found: Sequence[Leftover]) -> list[int]:
    if (await cluster.where(conn)).is_copy:
        return []
    return await leftovers.abandoned(conn, found)
