"""Which sets of labels are asked for in one round of claims, when a fleet has many."""

from typing import NamedTuple

from hodei.domain.worker import can_take
from hodei.fleet.presence import Room
from hodei.store import job_queue
from hodei.store.database import Database

MOST_SETS = 10
"""Sets of labels for which jobs are claimed in one round. A fleet with more begins with those that
can run what waits at the queue's head."""


class Chosen(NamedTuple):
    """The rooms of one round."""

    rooms: list[Room]
    more: bool  # sets that can run what waits are left for the next round


class LabelSets:
    """Chooses for one dispatcher; each set has its turn."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._round = 0

    async def choose(self, rooms: list[Room]) -> Chosen:
        """Returns at most MOST_SETS of the rooms."""
        if len(rooms) <= MOST_SETS:
            return Chosen(rooms, more=False)
        required, complete = await self._database.run(job_queue.required)
        self._round += 1
        start = self._round * MOST_SETS % len(rooms)
        fit: list[Room] = []
        others: list[Room] = []
        for room in rooms[start:] + rooms[:start]:
            fits = any(can_take(room.labels, labels) for labels in required)
            (fit if fits else others).append(room)
        more = len(fit) > MOST_SETS
        if complete or not others:
            return Chosen(fit[:MOST_SETS], more)
        return Chosen((fit[: MOST_SETS // 2] + others)[:MOST_SETS], more)
