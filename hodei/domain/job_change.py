"""What a caller's cancel or retry has done to one job, or why nothing was done to it."""

from enum import StrEnum


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
    REFUSED = "REFUSED"  # PostgreSQL refuses it, or its spec is not a JSON object
