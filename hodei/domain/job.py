"""A job's states and the reasons for its end. Nothing else may name one, and only TRANSITIONS may
change one.

schema.sql holds the same states as CHECKs; tests/domain compares the two and refuses every
transition that is not in the table."""

from enum import StrEnum


class JobState(StrEnum):
    """Final states never change again, for operators neither: a retry is a new job."""

    PENDING = "PENDING"  # created, or given back to run again
    RUNNING = "RUNNING"  # a worker's slot took it
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    # PENDING → FAILED: quarantined or refused before it could start; PENDING → CANCELLED: cancelled
    # while it waited.
    JobState.PENDING: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    # RUNNING → PENDING: failed or lost, and runs again.
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.PENDING}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


class Reason(StrEnum):
    """Why a job failed or was cancelled: a closed list, so that people and programs can count by
    it."""

    EXIT_NONZERO = "EXIT_NONZERO"
    SIGNALED = "SIGNALED"  # ended by a signal that Hodei did not send
    TIMEOUT = "TIMEOUT"
    OOM_KILLED = "OOM_KILLED"
    START_FAILED = "START_FAILED"  # command not found, no such folder, disk full while preparing
    IMAGE_PULL_FAILED = "IMAGE_PULL_FAILED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    WORKER_LOST = "WORKER_LOST"
    QUARANTINED = (
        "QUARANTINED"  # three attempts were lost when it was its worker's only job, or ten in all
    )
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    INTERNAL = "INTERNAL"


MAX_LONE_LOSSES = 3
"""Attempts lost with their worker when no other job of it was: they end a job as QUARANTINED, for
it may be what kills workers."""

MAX_LOSSES = 10
"""Attempts lost with their workers, whoever was lost with them: they end a job as QUARANTINED
too."""
