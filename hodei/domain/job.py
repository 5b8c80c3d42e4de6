"""A job's states, and which of them may follow each other; why it waits, and how far its cancel is.

TRANSITIONS is the one table of what may follow what. `FINAL` is derived from it. The chaos checker
and the tests of the store hold every change that was written against it, and tests/domain compares
its states with the CHECK of schema.sql. What refuses an illegal change is the guard in each
statement of hodei/store."""

from enum import StrEnum

from hodei.protocol.words import Outcome, Reason

__all__ = ["Outcome", "Reason"]  # the worker shares them


class JobState(StrEnum):
    """Final states never change again, for operators neither: a retry is a new job."""

    PENDING = "PENDING"  # created, or given back to run again
    RUNNING = "RUNNING"  # a worker's slot took it
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


STATES = {str(state): state for state in JobState}
"""The states by their words: a look-up takes a fifth of the time of JobState(word)."""

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    # PENDING → FAILED: rejected, or its queue_timeout passed. PENDING → CANCELLED: cancelled while
    # it waited.
    JobState.PENDING: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    # RUNNING → PENDING: failed or lost, and runs again.
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.PENDING}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

FINAL = frozenset(state for state, successors in TRANSITIONS.items() if not successors)


def may_become(old: JobState, new: JobState) -> bool:
    """Whether one event may change a job's state from `old` to `new`."""
    return new in TRANSITIONS[old]


class Creation(StrEnum):
    """What became of one job of a create."""

    CREATED = "created"
    EXISTED = "existed"  # a job with this id and the same spec was there: nothing was done
    CONFLICT = "conflict"  # a job with this id and another spec was there: nothing was done
    TAKEN = "taken"  # a job of another project has this id: nothing was done


class Waiting(StrEnum):
    """Why a row of the queue is not ready yet."""

    RUN_AT = "RUN_AT"  # the job's run_at has not come
    BACKOFF = "BACKOFF"  # its last attempt failed or was lost, and it runs again later


class CancelPhase(StrEnum):
    """How far the cancel of a job that has not ended has come."""

    NONE = ""
    REQUESTED = "requested"
    DELIVERED = "delivered"  # its worker said that it knows of the cancel
    STOPPING = "stopping"  # its worker said that TERM is on its way


MAX_LONE_LOSSES = 3
"""Attempts lost with their worker when no other job of it was: they end a job as QUARANTINED, for
it may be what kills workers."""

MAX_LOSSES = 10
"""Attempts lost with their workers, whatever else was lost with them: they end a job as QUARANTINED
too."""
