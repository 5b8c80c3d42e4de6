"""One batch of log chunks: they are stored, and each group is answered with how far the logs have
come."""

from loguru import logger

from hodei.domain.errors import Locked
from hodei.store import job_logs, leases, log_cursors
from hodei.store.database import Database
from hodei.store.job_logs import Chunk, Stored
from hodei.store.leases import Claimant


class LogBatches:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, groups: list[list[Chunk]]) -> list[dict[Claimant, Stored] | Exception]:
        """Stores groups of chunks, each of one lease; Locked for those whose rows are locked, while
        the others are stored. Chunks of a lease that came in several frames are in order and
        without gaps here too, as one stream brings them."""
        try:
            return await self._store(groups)
        except Locked as error:
            numbers = [group[0].lease for group in groups]
            locked = await self._database.run(lambda conn: leases.locked(conn, numbers))
            if not locked:
                raise
            free = iter(
                await self._store([group for group in groups if group[0].lease not in locked])
            )
            return [error if group[0].lease in locked else next(free) for group in groups]

    async def _store(self, groups: list[list[Chunk]]) -> list[dict[Claimant, Stored] | Exception]:
        unique = {(c.lease, c.worker_id, c.seq): c for group in groups for c in group}
        answer = await self._append(list(unique.values())) if unique else {}
        logger.bind(component="LogKeeper").debug("LogBatch of {} chunks stored", len(unique))
        return [answer] * len(groups)

    async def _append(self, chunks: list[Chunk]) -> dict[Claimant, Stored]:
        """Stores chunks; also those of a lease whose cursor a hand has set so far ahead that they seem
        to be stored."""
        answer = await self._database.run(lambda conn: job_logs.append(conn, chunks))
        if not (behind := log_cursors.behind(chunks, answer)):
            return answer
        mended = await self._database.run(lambda conn: log_cursors.mend(conn, behind))
        if not mended:
            return answer
        logger.bind(component="LogKeeper").warning(
            "the logs of leases {} seemed to be longer than what is stored: they go on there",
            mended[:10],
        )
        return await self._database.run(lambda conn: job_logs.append(conn, chunks))
