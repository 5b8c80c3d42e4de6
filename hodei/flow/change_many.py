"""The answer for each job of a call that cancels or repeats many of them."""

import uuid
from typing import NamedTuple

from hodei.domain.job import JobState
from hodei.domain.job_change import Change, Refusal


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
