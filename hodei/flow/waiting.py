"""Why a PENDING job is not running, in words for people."""

from collections.abc import Sequence

from hodei.domain.job import JobState, Waiting
from hodei.domain.worker import CONNECTED, WorkerState
from hodei.store.jobs import Job
from hodei.store.times import instant
from hodei.store.workers import Worker

MOST_LABELS = 5
"""Lacking labels that are named; the others are counted."""


def waiting_for(job: Job, fleet: Sequence[Worker]) -> str:
    """Returns why a PENDING job waits; empty for any other. `fleet`: the workers that are not
    TERMINATED."""
    if job.state != JobState.PENDING:
        return ""
    if job.waiting and job.ready_at:
        words = (
            "its time, "
            if job.waiting == Waiting.RUN_AT
            else "its back-off after a failed or lost attempt, until "
        )
        return words + instant(job.ready_at)
    if job.accept_by:
        return f"worker {job.worker_id} to accept it, until {instant(job.accept_by)}"
    if not job.queued:
        return "the next look of a server: it is in no queue at the moment"
    if not isinstance(required := job.required or {}, dict):  # a hand has set it
        return "labels that no worker can have"
    return _for_a_slot({key: str(value) for key, value in required.items()}, fleet)


def _for_a_slot(required: dict[str, str], fleet: Sequence[Worker]) -> str:
    connected = [w for w in fleet if w.state in CONNECTED]
    if not connected:
        return "a worker: none is connected"
    fitting = [w for w in connected if required.items() <= w.labels.items()]
    if not fitting:
        return f"a worker with its labels: {_nearest(required, connected)}"
    if all(w.state == WorkerState.DRAINING for w in fitting):
        return "a worker: those that fit are draining"
    taken = sum(w.busy_slots for w in fitting)
    total = sum(w.slots for w in fitting)
    return (
        f"a free slot: {taken} of {total} are taken on the workers that fit"
        if taken >= total
        else "its turn: it is next"
    )


def _nearest(required: dict[str, str], connected: Sequence[Worker]) -> str:
    """Which worker has most of the labels, and what it lacks."""
    nearest = max(connected, key=lambda w: len(required.items() & w.labels.items()))
    missing = sorted(f"{key}={value}" for key, value in required.items() - nearest.labels.items())
    lacking = ", ".join(missing[:MOST_LABELS])
    if len(missing) > MOST_LABELS:
        lacking += f" and {len(missing) - MOST_LABELS} more"
    return f"the nearest, {nearest.name or nearest.id}, lacks {lacking}"
