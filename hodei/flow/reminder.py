"""Says in the log why ready jobs do not move: when that begins, and each 30 s while it lasts."""

import time

from loguru import logger

from hodei.fleet.presence import Presence

AGAIN_S = 30.0
"""Seconds between two lines about the same condition."""


class Reminder:
    """The reminder of one dispatcher."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._condition = ""
        self._said_at = 0.0

    def observe(self, *, ready: bool, claimed: bool) -> None:
        """Takes what a look at the queue found: whether ready jobs wait, and whether this server
        has claimed any since the look before."""
        now = time.monotonic()
        condition = self._condition_of(ready=ready, claimed=claimed)
        if condition and (condition != self._condition or now - self._said_at >= AGAIN_S):
            logger.bind(component="JobDispatcher").info(condition)
            logger.bind(component="JobController").info(
                "alive: {} workers connected to this server", len(self._presence)
            )
            self._said_at = now
        self._condition = condition

    def _condition_of(self, *, ready: bool, claimed: bool) -> str:
        """Empty: jobs move."""
        if not ready:
            return "No jobs in queue"
        if claimed:
            return ""
        if any(stream.free_slots for stream in self._presence):
            return "No available workers with the labels that the queued jobs require"
        return "No available workers: none connected here has a free slot"
