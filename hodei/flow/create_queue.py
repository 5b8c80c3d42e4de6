"""Creates wait here to be stored, many together. An id that another create or somebody's open
transaction is creating holds up nobody but those who ask for the same id."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Sequence

from hodei.domain.errors import Locked
from hodei.domain.job import Creation
from hodei.flow.batcher import Batcher
from hodei.flow.creates import Creates
from hodei.store.creation import NewJob

MOST_BYTES = 4 << 20
"""Bytes of the specs of one batch: as many as one call may bring."""

MOST_APART = 100
"""Creates whose ids are locked and that wait to be tried one by one. When there are more, further
ones are refused at once."""

LOCKED_S = 5.0
"""Seconds for which an id that was locked is tried apart from all others."""

REST = 3.0
"""How many times as long as a batch took the next one may gather (Batcher, `rest`). Batches of 64
callers hold 13 creates; with 1.0 they held 5, and a create cost the server a fifth more and
PostgreSQL four fifths."""

Outcome = Creation | Exception


class CreateQueue:
    """A batch has each id at most once: of a locked id it would wait for the lock again and again."""

    def __init__(self, creates: Creates) -> None:
        self._together: Batcher[NewJob, Creation] = Batcher(
            creates.store, most=500, most_bytes=MOST_BYTES, waiting=5000, rest=REST
        )
        self._apart: Batcher[NewJob, Creation] = Batcher(
            creates.store_alone, most=1, waiting=MOST_APART
        )
        # The ids that are being stored together. A caller that leaves takes nothing back.
        self._under_way: dict[uuid.UUID, _Storing] = {}
        # Until when each id that somebody's open transaction is creating is tried apart.
        self._locked: dict[uuid.UUID, float] = {}

    async def run(self) -> None:
        """Stores creates, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._together.run())
            await self._apart.run()

    async def store(self, new: Sequence[NewJob], size: int) -> list[Outcome]:
        """Returns what became of each job, in order; `size`: bytes of their specs. A job whose id
        comes a second time, in this call or while another one is under way, is stored after the
        first one, and so meets it. Unavailable: none was stored."""
        if self._locked:
            now = time.monotonic()
            self._locked = {job_id: until for job_id, until in self._locked.items() if until > now}
        first: dict[uuid.UUID, NewJob] = {}
        for job in new:
            if job.id not in self._locked and job.id not in self._under_way:
                first.setdefault(job.id, job)
        outcomes = await self._store_together(first, size)
        if len(first) == len(new):
            return outcomes
        found = {id(job): outcome for job, outcome in zip(first.values(), outcomes, strict=True)}
        locked = {id_: end for id_, end in zip(first, outcomes, strict=True) if is_lock(end)}
        for job in new:
            if id(job) not in found:
                found[id(job)] = locked.get(job.id) or await self._store_after_others(job)
                if is_lock(found[id(job)]):
                    locked[job.id] = found[id(job)]
        return [found[id(job)] for job in new]

    async def _store_together(self, first: dict[uuid.UUID, NewJob], size: int) -> list[Outcome]:
        if not first:
            return []
        storing = _Storing(first, self._under_way, self._note_lock)
        try:
            await self._together.put(list(first.values()), size, storing)
        except asyncio.CancelledError:
            storing.end()
            raise
        return await storing.caller

    def _note_lock(self, job_id: uuid.UUID, outcome: Outcome) -> None:
        if is_lock(outcome) and len(self._locked) < MOST_APART:
            self._locked[job_id] = time.monotonic() + LOCKED_S

    async def _store_after_others(self, job: NewJob) -> Outcome:
        """Stores a job whose id is locked, or under way for another call."""
        if other := self._under_way.get(job.id):
            await other.over.wait()
        if self._apart.full:
            return Locked("it could not a moment ago, and many wait that could not")
        (outcome,) = await self._apart.submit_all([job])
        self._note_lock(job.id, outcome)
        return outcome


class _Storing:
    """The new jobs of one call while they are stored together with others. The batch answers it in
    place of a future: it notes what became of them, and wakes their caller. Two futures with a
    callback between them took 4 to 8 % of a create more.

    If the caller leaves, its ids stay under way until they are stored."""

    __slots__ = ("_ids", "_note_lock", "_under_way", "caller", "over")

    def __init__(
        self,
        ids: Iterable[uuid.UUID],
        under_way: "dict[uuid.UUID, _Storing]",
        note_lock: Callable[[uuid.UUID, Outcome], None],
    ) -> None:
        self._ids = list(ids)
        self._under_way = under_way
        self._note_lock = note_lock
        self.caller: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()  # for calls with one of the same ids
        under_way.update(dict.fromkeys(self._ids, self))

    def done(self) -> bool:
        return self.over.is_set()

    def set_result(self, outcomes: list[Outcome]) -> None:
        self.end()
        for job_id, outcome in zip(self._ids, outcomes, strict=True):
            self._note_lock(job_id, outcome)
        if not self.caller.done():
            self.caller.set_result(outcomes)

    def set_exception(self, error: Exception) -> None:
        self.end()
        if not self.caller.done():
            self.caller.set_exception(error)

    def end(self) -> None:
        """The ids are under way no longer."""
        for job_id in self._ids:
            del self._under_way[job_id]
        self.over.set()


def is_lock(outcome: Outcome) -> bool:
    return isinstance(outcome, Locked)
