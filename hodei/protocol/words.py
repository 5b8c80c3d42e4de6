"""The words about an attempt that servers and workers share: its outcome and the reason for it.

hodei/domain takes them from here, because a worker imports nothing of hodei but hodei.protocol."""

from enum import StrEnum


class Outcome(StrEnum):
    """How an attempt ended, as its worker reports it."""

    SUCCEEDED = "SUCCEEDED"  # exit code 0
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"  # somebody asked for the job's end, and its processes were killed
    LOST = "LOST"  # nobody can say how it ended: its worker, or the parent of its processes, died


class Reason(StrEnum):
    """Why an attempt or a job failed or was cancelled: a closed list, so that people and programs
    can count by it."""

    EXIT_NONZERO = "EXIT_NONZERO"
    SIGNALED = "SIGNALED"  # ended by a signal that Hodei did not send
    TIMEOUT = "TIMEOUT"  # a limit of time in the spec has passed
    OOM_KILLED = "OOM_KILLED"
    START_FAILED = "START_FAILED"  # command not found, no such folder, disk full while preparing
    IMAGE_PULL_FAILED = "IMAGE_PULL_FAILED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    WORKER_LOST = "WORKER_LOST"
    QUARANTINED = "QUARANTINED"  # too many attempts were lost (MAX_LONE_LOSSES, MAX_LOSSES)
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"  # PostgreSQL or a message cannot take the job
    INTERNAL = "INTERNAL"  # a fault of Hodei's own


FAILURES = frozenset(Reason) - {
    Reason.CANCELLED,
    Reason.WORKER_LOST,
    Reason.QUARANTINED,
    Reason.REJECTED,
}
"""Reasons that a worker may give for a failure. The others belong to other outcomes, or only
servers find them: a result that says otherwise is refused."""
