"""The workers whose streams this server holds, and how many offers they may get."""

import contextlib
import uuid
from collections.abc import Iterator
from typing import NamedTuple

from hodei.domain.worker import can_take
from hodei.fleet.stream import Kind, WorkerStream


class Room(NamedTuple):
    """How many offers the workers with one set of labels and of projects may get now."""

    labels: dict[str, str]
    workers: list[uuid.UUID]  # a worker's id for each offer, in the order of the offers
    projects: tuple[str, ...] = ()  # whose jobs alone they take; empty: of all

    def takes(self, labels: dict[str, str], project: str) -> bool:
        """Returns whether a job of this project that requires these labels may be offered here."""
        return can_take(self.labels, labels) and (not self.projects or project in self.projects)


class _Share(NamedTuple):
    worker_id: uuid.UUID
    offers: int


class Presence:
    """All streams of this server, one for each worker."""

    def __init__(self) -> None:
        # The id of this process, by which workers tell the servers that they can get to.
        self.server_id = uuid.uuid4()
        self._streams: dict[uuid.UUID, WorkerStream] = {}
        self._first = 0  # the worker that is the first to get offers, counted up
        self._claiming = False
        self._recall_due = False  # it came while a claim was under way

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[WorkerStream]:
        return iter(list(self._streams.values()))

    def get(self, worker_id: uuid.UUID) -> WorkerStream | None:
        return self._streams.get(worker_id)

    def add(self, stream: WorkerStream) -> None:
        """Enters a stream; an older one of the same worker is closed."""
        if before := self._streams.get(stream.worker_id):
            before.close("superseded by a newer stream of the same worker")
        self._streams[stream.worker_id] = stream

    def remove(self, stream: WorkerStream) -> None:
        """Takes a stream out, unless a newer one of its worker has taken its place."""
        if self._streams.get(stream.worker_id) is stream:
            del self._streams[stream.worker_id]

    @contextlib.contextmanager
    def claim_under_way(self) -> Iterator[None]:
        """Holds recalls back while jobs are claimed and sent to these workers."""
        self._claiming = True
        try:
            yield
        finally:
            self._claiming = False
            if self._recall_due:
                self.recall_late_offers()

    def recall_late_offers(self) -> None:
        """Has each worker asked for the offers that wait there too long; while a claim is under
        way, when that has ended. The claim may bring jobs that are newer than the recalled ones,
        and a slot that the recall has left without work would run them first."""
        self._recall_due = self._claiming
        if not self._claiming:
            for stream in self:
                stream.recall_late_offers()

    def rooms(self, most: int) -> list[Room]:
        """The room of each kind of workers, for at most `most` offers each. Free slots come before
        what is sent ahead; workers take turns, and another one is the first each time."""
        self._first += 1
        groups: dict[Kind, list[tuple[WorkerStream, int]]] = {}
        for stream in self._streams.values():
            if room := stream.room:
                groups.setdefault(stream.kind, []).append((stream, room))
        return [
            Room(dict(kind.labels), _in_turns(streams, self._first, most), kind.projects)
            for kind, streams in groups.items()
        ]


def _in_turns(streams: list[tuple[WorkerStream, int]], first: int, most: int) -> list[uuid.UUID]:
    first %= len(streams)
    free, ahead = [], []
    for stream, room in streams[first:] + streams[:first]:
        now = min(room, stream.free_slots)
        free.append(_Share(stream.worker_id, now))
        ahead.append(_Share(stream.worker_id, room - now))
    turns: list[uuid.UUID] = []
    for shares in (free, ahead):
        turn = 0
        while len(turns) < most and (
            having := [share.worker_id for share in shares if share.offers > turn]
        ):
            turns += having
            turn += 1
    return turns[:most]
