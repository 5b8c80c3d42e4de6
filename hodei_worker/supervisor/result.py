"""The result of an attempt. The supervisor keeps it in its journal and sends it to the agent, and
the agent sends it to a server."""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from hodei.protocol.words import Outcome, Reason

UNKNOWN_CHUNKS = 1 << 62
"""The number of log chunks of an attempt whose supervisor died: nobody knows how many there
were."""


class Cause(NamedTuple):
    """Why an attempt is stopped, could not start, or was lost."""

    outcome: Outcome
    reason: str  # a Reason; of an agent of a release before perhaps another word
    message: str


def failed(reason: Reason, message: str) -> Cause:
    return Cause(Outcome.FAILED, reason, message)


def lost(message: str) -> Cause:
    return Cause(Outcome.LOST, Reason.WORKER_LOST, message)


@dataclass
class Result:
    """Filled in step by step until it is sent; nobody changes it afterwards. The fields have the
    names of hodei.proto's Result. Exceptions: `started_us` is `started_unix_us` there, and only
    agent and supervisor use `spooled`."""

    outcome: Outcome
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    started_us: int = 1  # when the attempt was accepted, µs since 1970
    run_us: int = 1
    peak_memory_bytes: int = 0
    cpu_us: int = 0
    log_chunks: int = 0  # number that the attempt wrote; if more than `spooled`, some are lost
    spooled: int | None = None  # number of chunks to be sent before the result; None: log_chunks
    log_bytes: int = 0
    log_dropped_bytes: int = 0
    leftover_processes: int = 0
    leftover_unknown: int = 0

    @classmethod
    def of(cls, cause: Cause, **more: Any) -> "Result":
        return cls(*cause, **more)

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> "Result":
        """Reads what a supervisor has sent or a journal has kept. It may be of another release:
        unknown keys are ignored."""
        known = {k: value for k, value in entry.items() if k in FIELD_NAMES and value is not None}
        known["outcome"] = Outcome(entry["outcome"])
        return cls(**known)

    def as_json(self) -> dict[str, Any]:
        """Returns the fields that are not None, also those with their defaults: agents of a release
        before miss none of them."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def set_cause(self, cause: Cause) -> None:
        self.outcome, self.reason, self.message = cause

    def add_message(self, message: str) -> None:
        if message:
            self.message = f"{self.message}; {message}" if self.message else message

    @property
    def chunks_before_it(self) -> int:
        """Number of log chunks that must be sent before the result."""
        return self.log_chunks if self.spooled is None else self.spooled


FIELD_NAMES = frozenset(field.name for field in fields(Result))
