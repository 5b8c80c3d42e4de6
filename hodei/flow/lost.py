"""Attempts that end without a word of their worker: it is gone, it does not know the job any more,
or it did not end a job that broke a limit.

The servers say the result in the worker's place, under the lease as ever; store/leases.py has the
policy by which a lost job runs again."""

import asyncio
from collections.abc import Sequence

from loguru import logger

from hodei.domain.errors import Locked
from hodei.domain.job import Outcome, Reason
from hodei.domain.text import words_of
from hodei.fleet.presence import Presence
from hodei.flow import job_lines
from hodei.flow.set_aside import set_aside_lease
from hodei.flow.settle import ACTOR, refuse
from hodei.store import halves, results
from hodei.store.database import TROUBLE, Database
from hodei.store.leases import Claimant
from hodei.store.results import Ended, Result
from hodei.store.stray_leases import Overrun

NO_CHUNKS_KNOWN = -1
"""Stands in Result.log_chunks: only the worker knew how many chunks there were."""


class LostAttempts:
    """`forgotten` has leases that their workers no longer list (fleet/heartbeats.py)."""

    def __init__(
        self, database: Database, presence: Presence, forgotten: asyncio.Queue[Claimant]
    ) -> None:
        self._database = database
        self._presence = presence
        self._forgotten = forgotten
        self._log = logger.bind(component="JobController")

    async def run(self) -> None:
        """Ends forgotten leases, for ever. One that cannot be ended now is named again by the next
        heartbeat."""
        message = "the worker lives but does not know this job any more"
        while True:
            claimant = await self._forgotten.get()
            try:
                await self.lose([claimant], message, ACTOR)
            except TROUBLE as error:
                self._log.warning("lease {} cannot be ended: {}", claimant.lease, words_of(error))

    async def lose(self, lost: Sequence[Claimant], message: str, actor: str) -> None:
        """Ends attempts as lost: their jobs run again or fail, by policy."""
        said = [
            Result(
                claimant.lease,
                claimant.worker_id,
                Outcome.LOST,
                actor,
                ran=True,
                message=message,
                log_chunks=NO_CHUNKS_KNOWN,
            )
            for claimant in lost
        ]
        await self._record(said)

    async def end_overrun(self, overrun: Sequence[Overrun], actor: str) -> None:
        """Ends attempts that broke a limit, each with the words for it: FAILED, TIMEOUT. The worker
        learns it by a refusal, and kills the processes."""
        said = [
            Result(
                claimant.lease,
                claimant.worker_id,
                Outcome.FAILED,
                actor,
                ran=True,
                reason=Reason.TIMEOUT,
                message=f"{words}, and its worker did not end it",
                log_chunks=NO_CHUNKS_KNOWN,
            )
            for claimant, words in overrun
        ]
        for end in await self._record(said):
            self._refuse(Claimant(end.lease, end.worker_id))

    def _refuse(self, claimant: Claimant) -> None:
        if stream := self._presence.get(claimant.worker_id):
            refuse(stream, [claimant.lease])

    async def _record(self, said: Sequence[Result]) -> list[Ended]:
        """Stores results that the servers say; returns the ends that were made. A job that cannot
        be stored is set aside; one whose row is locked is found again by the next sweep."""

        async def store(batch: list[Result]) -> list[Ended | None]:
            found = await self._database.run(lambda conn: results.record_results(conn, batch))
            ended = {end.lease: end for end in found}
            return [ended.get(result.lease) for result in batch]

        stored: list[Ended] = []
        for result, answer in zip(said, await halves.each(said, store), strict=True):
            if isinstance(answer, Ended):
                stored.append(answer)
            elif isinstance(answer, Exception) and not isinstance(answer, Locked):
                claimant = Claimant(result.lease, result.worker_id)
                await set_aside_lease(self._database, claimant, answer, ACTOR)
                self._refuse(claimant)
        if stored:
            job_lines.say(self._log, job_lines.of_ends(stored))
        return stored
