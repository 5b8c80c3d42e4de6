"""Why a PENDING job is not running, in words for people."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from hodei.domain.job import JobState, Waiting
from hodei.domain.worker import CONNECTED, WorkerState, can_take
from hodei.store.times import instant
from hodei.store.waits import Before
from hodei.store.workers import Worker

MOST_LABELS = 5
"""Labels that are named; the others are counted."""

LONGEST_LABEL = 100
"""Characters of a label that are shown."""

MOST_SETS = 5
"""Sets of labels of workers by which the jobs before a job are told apart. Where the workers that
fit have more, every job before it is counted."""


class Situation(Protocol):
    """What is known of a job that may wait (a row of store/jobs.py or store/waits.py)."""

    @property
    def state(self) -> JobState: ...
    @property
    def worker_id(self) -> Any: ...
    @property
    def queued(self) -> bool: ...
    @property
    def waiting(self) -> str | None: ...
    @property
    def ready_at(self) -> int | None: ...
    @property
    def required(self) -> Any: ...
    @property
    def accept_by(self) -> int | None: ...
    @property
    def project(self) -> str: ...


class WaitKind(StrEnum):
    """What a job waits for. The words of one kind differ in numbers and names."""

    TIME = "TIME"
    BACKOFF = "BACKOFF"
    ACCEPT = "ACCEPT"
    NO_QUEUE = "NO_QUEUE"
    NO_WORKER = "NO_WORKER"
    LABELS = "LABELS"
    PROJECT = "PROJECT"
    DRAINING = "DRAINING"
    SLOT = "SLOT"
    TURN = "TURN"


class Wait(NamedTuple):
    """Why a job waits."""

    cause: WaitKind
    words: str
    sets: tuple[str, ...] = ()
    """Where it waits for a slot or its turn: the labels of the workers that fit, each set once, as
    JSON."""
    projects: tuple[str, ...] = ()
    """Likewise the projects that these workers are limited to; empty: one of them takes any job."""


def waiting_for(job: Situation, fleet: Sequence[Worker]) -> str:
    """Returns why a PENDING job waits; empty for any other. `fleet`: the workers that are not
    TERMINATED."""
    wait = wait_of(job, fleet)
    return wait.words if wait else ""


def wait_of(job: Situation, fleet: Sequence[Worker]) -> Wait | None:
    """Does as waiting_for, and tells the kind of the cause."""
    if job.state != JobState.PENDING:
        return None
    if wait := _for_a_time(job):
        return wait
    if not job.queued:
        words = "the next look of a server: it is in no queue at the moment"
        return Wait(WaitKind.NO_QUEUE, words)
    if not isinstance(required := job.required or {}, dict):  # a hand has set it
        return Wait(WaitKind.LABELS, "labels that no worker can have")
    labels = {key: str(value) for key, value in required.items()}
    return _for_a_slot(labels, job.project, fleet)


def _for_a_time(job: Situation) -> Wait | None:
    """What ends at a known time at the latest."""
    if job.waiting and job.ready_at:
        at = instant(job.ready_at)
        if job.waiting == Waiting.RUN_AT:
            return Wait(WaitKind.TIME, f"its time, {at}")
        words = f"its back-off after a failed or lost attempt, until {at}"
        return Wait(WaitKind.BACKOFF, words)
    if job.accept_by:
        words = f"worker {job.worker_id} to accept it, until {instant(job.accept_by)}"
        return Wait(WaitKind.ACCEPT, words)
    return None


def _for_a_slot(required: dict[str, str], project: str, fleet: Sequence[Worker]) -> Wait:
    connected = [w for w in fleet if w.state in CONNECTED]
    if not connected:
        return Wait(WaitKind.NO_WORKER, "a worker: none is connected")
    fitting = [w for w in connected if can_take(w.labels, required)]
    if not fitting:
        return Wait(WaitKind.LABELS, _lacking(required, connected))
    fitting = [w for w in fitting if not w.projects or project in w.projects]
    if not fitting:
        with_labels = " with its labels" if required else ""
        words = f"a worker that takes jobs of project {project}: none{with_labels} does"
        return Wait(WaitKind.PROJECT, words)
    if all(w.state == WorkerState.DRAINING for w in fitting):
        return Wait(WaitKind.DRAINING, "a worker: those that fit are draining")
    sets = tuple({json.dumps(w.labels, sort_keys=True) for w in fitting})
    limited = all(w.projects for w in fitting)
    projects = tuple({name for w in fitting for name in w.projects}) if limited else ()
    total = sum(w.slots for w in fitting)
    if sum(w.busy_slots for w in fitting) < total:
        return Wait(WaitKind.TURN, "its turn", sets, projects)
    of_whom = "" if len(fitting) == len(connected) else " of the workers that fit"
    all_slots = f"all {total} slots" if total > 1 else "the only slot"
    verb = "are" if total > 1 else "is"
    return Wait(WaitKind.SLOT, f"a free slot: {all_slots}{of_whom} {verb} busy", sets, projects)


def _lacking(required: dict[str, str], connected: Sequence[Worker]) -> str:
    """Which worker has most of the labels, and what it lacks."""
    nearest = max(connected, key=lambda w: len(required.items() & w.labels.items()))
    missing = dict(required.items() - nearest.labels.items())
    if not missing:
        words = "a worker that runs plain processes"
        words += f" with {_labels(required)}" if required else ""
        return f"{words}: the nearest, {nearest.name or nearest.id}, runs only containers"
    lacks = "it" if len(required) == 1 else _labels(missing)
    return f"a worker with {_labels(required)}: the nearest, {nearest.name or nearest.id}, lacks {lacks}"


def _labels(labels: Mapping[str, str]) -> str:
    said = sorted(f"{key}={value}" for key, value in labels.items())
    words = ", ".join(
        one if len(one) <= LONGEST_LABEL else f"{one[: LONGEST_LABEL - 1]}…"
        for one in said[:MOST_LABELS]
    )
    return words if len(said) <= MOST_LABELS else f"{words} and {len(said) - MOST_LABELS} more"


def with_place(wait: Wait, before: Before | None) -> str:
    """The words for a job that waits for a slot or its turn, with how many jobs are before it.
    None: it is no longer in the queue."""
    if before is None:
        return wait.words
    count = f"{before.jobs:,} job{'s' if before.jobs != 1 else ''} before it"
    if before.more:
        return f"{wait.words}, more than {count}"
    if before.jobs:
        return f"{wait.words}, {count}"
    return f"{wait.words}, it is next"
