"""What a supervisor has of one attempt."""

import time
from dataclasses import dataclass
from typing import Any

from hodei.protocol.words import Reason
from hodei_worker.supervisor import wire
from hodei_worker.supervisor.executor import Attempt, Start
from hodei_worker.supervisor.result import Result, failed
from hodei_worker.supervisor.window import LogWindow


@dataclass
class Job:
    """One attempt, from its start until the agent's `forget`."""

    start: Start
    log: LogWindow
    attempt: Attempt | None = None  # None after its end
    result: Result | None = None
    start_reported: bool = False  # `started` was sent (only for a job with a start_timeout)

    def end(self, result: Result) -> dict[str, Any]:
        """Notes the result, and returns it as JSON. The spec goes: it may be large, and no agent may
        be connected for long; and the values of secrets go."""
        self.attempt, self.result = None, result
        self.start.spec.clear()
        self.start.secrets.clear()
        return result.as_json()

    def adoption(self) -> wire.KeptJob:
        """Returns the job for the hello to an agent, which adopts it."""
        result = self.result.as_json() if self.result else None
        return {
            "lease": self.start.lease,
            "job_id": self.start.job_id,
            "attempt": self.start.attempt,
            "correlation_id": self.start.correlation_id,
            "actor": self.start.actor,
            "started_us": self.start.started_us,
            "result": result,
            "acked": self.log.spool.acked,
            "spawned": self.start_reported,
        }


def not_begun(words: str, chunks: int = 0) -> Result:
    """Returns the result of an attempt without a process, with `chunks` chunks of a log."""
    return Result.of(failed(Reason.INTERNAL, words), log_chunks=chunks, started_us=time_us())


def time_us() -> int:
    return time.time_ns() // 1000
