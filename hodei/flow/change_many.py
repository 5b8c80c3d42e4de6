"""What many jobs have in common when a caller cancels or repeats them: an answer for each."""

import uuid
from enum import StrEnum
from typing import NamedTuple

from hodei.domain.job import JobState


class Change(StrEnum):
    """What was done to a job."""

    CANCELLED = "CANCELLED"  # it waited, and has ended
    CANCEL_REQUESTED = "CANCEL_REQUESTED"  # its worker is told to stop it
    RETRIED = "RETRIED"  # a new job runs it again


class Refusal(StrEnum):
    """Why nothing was done to a job."""

    NOT_FOUND = "NOT_FOUND"  # there is no such job
    ENDED = "ENDED"  # a final state never changes
    NOT_ENDED = "NOT_ENDED"  # only a job that has ended can be run again
    OTHER_STATE = "OTHER_STATE"  # it is no longer in a state that was asked for
    LOCKED = "LOCKED"  # somebody's open transaction holds its row
    DUPLICATE = "DUPLICATE"  # the new id is that of another job
    REFUSED = "REFUSED"  # PostgreSQL refuses it, or its spec is none


class Answer(NamedTuple):
    """What became of one job. One of `change` and `refusal` is None."""

    job_id: uuid.UUID
    change: Change | None
    refusal: Refusal | None
    state: JobState | None  # as it is after the call; None: there is no such job
    message: str  # the refusal in words
    new_id: uuid.UUID | None = None


def done(
    job_id: uuid.UUID, change: Change, state: JobState, new_id: uuid.UUID | None = None
) -> Answer:
    return Answer(job_id, change, None, state, "", new_id)


def refused(job_id: uuid.UUID, refusal: Refusal, state: JobState | None, message: str) -> Answer:
    return Answer(job_id, None, refusal, state, message)


def not_found(job_id: uuid.UUID) -> Answer:
    return refused(job_id, Refusal.NOT_FOUND, None, f"no job {job_id}")


def locked(job_id: uuid.UUID, state: JobState | None) -> Answer:
    words = f"job {job_id} is held by a transaction that is still open; try again"
    return refused(job_id, Refusal.LOCKED, state, words)
