"""Says in the log why ready jobs do not move: when that begins, and each 30 s while it lasts."""

import time
import uuid

from loguru import logger

from hodei.fleet.presence import Presence

AGAIN_S = 30.0
"""Seconds between two lines about the same condition."""


class Reminder:
    """The reminder of one dispatcher."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._condition = ""
        self._was_stuck = False  # at the look before
        self._said_at = 0.0

    def observe(self, *, ready: bool, claimed: bool, locked: uuid.UUID | None = None) -> None:
        """Takes what a look at the queue found: whether ready jobs wait, whether this server has
        claimed any since the look before, and a job that it could not claim by a lock. Jobs that
        were ready at one look only may be on their way: nothing is said of them."""
        now = time.monotonic()
        stuck = ready and not claimed
        early, self._was_stuck = stuck and not self._was_stuck, stuck
        condition = "" if early else self._condition_of(ready=ready, claimed=claimed, locked=locked)
        if condition and (condition != self._condition or now - self._said_at >= AGAIN_S):
            logger.bind(component="JobDispatcher").info(condition)
            logger.bind(component="JobController").info(
                "alive: {} workers connected to this server", len(self._presence)
            )
            self._said_at = now
        self._condition = condition

    def _condition_of(self, *, ready: bool, claimed: bool, locked: uuid.UUID | None) -> str:
        """Empty: jobs move."""
        if not ready:
            return "No jobs in queue"
        if claimed:
            return ""
        if any(stream.free_slots for stream in self._presence):
            if locked:
                return (
                    f"Ready jobs cannot be claimed, as {locked}: another transaction has locked"
                    " its row, or a trigger on it does not come to its end"
                )
            return "No available workers with the labels that the queued jobs require"
        return "No available workers: none connected here has a free slot"
