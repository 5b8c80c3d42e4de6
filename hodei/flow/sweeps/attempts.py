"""Sweeps of leases and of the workers that hold them: late offers go back, attempts beyond a limit
are ended, silent workers are judged, and what they leave runs again or fails."""

import uuid

from loguru import logger

from hodei.domain.timing import ACCEPT_WITHIN_S, UNREACHABLE_AFTER_S
from hodei.fleet.presence import Presence
from hodei.flow.give_back import give_back
from hodei.flow.lost import LostAttempts
from hodei.flow.sweeps.each import ACTOR
from hodei.flow.sweeps.lately_locked import LatelyLocked
from hodei.store import leases, silent_workers, stray_leases
from hodei.store.database import Database
from hodei.store.times import instant


class AttemptSweeps:
    def __init__(
        self, database: Database, presence: Presence, lost: LostAttempts, lost_after_s: float
    ) -> None:
        """`lost_after_s`: seconds of silence that lose a worker."""
        self._database = database
        self._presence = presence
        self._lost = lost
        self._lost_after_s = lost_after_s
        self._locked_leases = LatelyLocked[int]()
        self._locked_workers = LatelyLocked[uuid.UUID]()
        self._log = logger.bind(component="JobRescuer")

    async def end_overrun(self) -> None:
        """Ends attempts beyond a limit that their workers should have ended. Logs and results that
        could not be stored come first."""
        overrun = await self._database.run(stray_leases.overrun)
        if not overrun:
            return
        numbers = [one.claimant.lease for one in overrun]
        unwritable = await self._database.run(lambda conn: leases.unwritable(conn, numbers))
        spared = self._locked_leases.note(unwritable)
        judged = [one for one in overrun if one.claimant.lease not in spared]
        if judged:
            await self._lost.end_overrun(judged, ACTOR)

    async def take_back_offers(self) -> None:
        """Gives back offers that their workers did not accept in time."""
        overdue = await self._database.run(lambda conn: stray_leases.overdue(conn, ACCEPT_WITHIN_S))
        if not overdue:
            return
        reason = f"not accepted within {ACCEPT_WITHIN_S:g} s"
        back = await give_back(self._database, overdue, reason, ACTOR)
        for claimant in overdue:
            if claimant.lease in back and (stream := self._presence.get(claimant.worker_id)):
                stream.forget_lease(claimant.lease)

    async def judge_silent_workers(self) -> None:
        """Makes silent workers UNREACHABLE, or TERMINATED when they are lost. Heartbeats that could
        not be stored come first."""
        locked = await self._database.run(
            lambda conn: silent_workers.locked(conn, UNREACHABLE_AFTER_S)
        )
        spared = self._locked_workers.note(locked)
        for worker_id, state, last_heartbeat in await self._database.run(
            lambda conn: silent_workers.judge_silent(
                conn, UNREACHABLE_AFTER_S, self._lost_after_s, spared
            )
        ):
            self._log.bind(worker_id=worker_id).warning(
                "worker is {}: last heard of at {}",
                state,
                instant(last_heartbeat) if last_heartbeat else "never",
            )

    async def end_orphaned(self) -> None:
        """Ends what workers have left that are gone: their attempts are lost, their offers go
        back."""
        orphaned = await self._database.run(stray_leases.orphaned)
        lost = [claimant for claimant, accepted in orphaned if accepted]
        offers = [claimant for claimant, accepted in orphaned if not accepted]
        if lost:
            await self._lost.lose(lost, "its worker was lost or its credential revoked", ACTOR)
        if offers:
            await give_back(self._database, offers, "the worker is gone", ACTOR)
