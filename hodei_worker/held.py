"""One lease that this worker holds, and what is said of it to servers and supervisor."""

import time
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from loguru import logger

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.words import Outcome
from hodei_worker.supervisor.result import Result
from hodei_worker.supervisor.wire import Header

OUTCOMES = {
    Outcome.SUCCEEDED: pb.SUCCEEDED,
    Outcome.FAILED: pb.FAILED,
    Outcome.CANCELLED: pb.CANCELLED,
    Outcome.LOST: pb.LOST,
}

LONGEST_MESSAGE = 2000
"""Characters of a result's message on the wire."""


class Phase(Enum):
    WAITING = pb.Held.WAITING
    RUNNING = pb.Held.RUNNING
    ENDED = pb.Held.ENDED


@dataclass
class Held:
    lease: int
    job_id: str
    attempt: int
    correlation_id: str
    actor: str
    phase: Phase
    spec: str = ""  # JSON; until the supervisor has it
    started_us: int = 0  # µs since 1970 when a slot took it; 0 before
    tells_start: bool = False  # its process runs, and the servers wait to hear so (start_timeout)
    stopping: bool = False  # TERM is on its way to it: servers ask until they hear so
    result: Result | None = None
    acked: int = 0  # log chunks that a server has stored
    sent: int = 0  # log chunks that went out
    # how often its log was read anew; chunks of an earlier reading were on their way when it began
    reading: int = 0
    progress_at: float = 0.0  # monotonic: the last acknowledgement, or the first chunk after one
    reported: bool = False  # its result went out on this stream
    # refused by a server: it is killed; what is left of its log and its result go out for the record
    late: bool = False
    came_at: float = field(default_factory=time.monotonic)

    @classmethod
    def offered(cls, offer: pb.RunJob) -> "Held":
        return cls(
            offer.lease,
            offer.job_id,
            offer.attempt,
            offer.correlation_id,
            offer.actor,
            Phase.WAITING,
            offer.spec,
        )

    @classmethod
    def adopted(cls, entry: dict[str, Any]) -> "Held":
        """As a supervisor tells it, perhaps one of another release."""
        result = entry.get("result")
        return cls(
            entry["lease"],
            entry["job_id"] or "",
            entry.get("attempt") or 0,
            entry.get("correlation_id") or "",
            entry.get("actor") or "",
            Phase.WAITING,
            started_us=entry.get("started_us") or 1,
            result=Result.read(result) if result else None,
            tells_start=bool(entry.get("spawned")),
            acked=entry.get("acked", 0),
            sent=entry.get("acked", 0),
        )

    @cached_property
    def log(self) -> Any:
        """A logger whose lines end with the job's names."""
        return logger.bind(correlation_id=self.correlation_id, actor=self.actor, job_id=self.job_id)

    @property
    def log_is_sent(self) -> bool:
        """All that goes ahead of its result."""
        return self.result is not None and self.sent >= self.result.chunks_before_it

    @property
    def late_job_id(self) -> str:
        return self.job_id if self.late else ""

    def start(self) -> Header:
        """For the supervisor."""
        return {
            "lease": self.lease,
            "job_id": self.job_id,
            "attempt": self.attempt,
            "correlation_id": self.correlation_id,
            "actor": self.actor,
        }

    def chunk(self, header: Header, data: bytes) -> pb.LogChunk:
        return pb.LogChunk(
            lease=self.lease,
            seq=header["seq"],
            stream=header["stream"],
            byte_offset=header["offset"],
            first_line=header["line"],
            read_unix_us=header["read_us"],
            data=data,
            late_job_id=self.late_job_id,
        )

    def report(self, result: Result) -> pb.Result:
        message = pb.Result(
            lease=self.lease,
            outcome=OUTCOMES[result.outcome],
            reason=result.reason,
            message=result.message[:LONGEST_MESSAGE],
            run_us=result.run_us,
            peak_memory_bytes=result.peak_memory_bytes,
            cpu_us=result.cpu_us,
            log_chunks=result.log_chunks,
            log_bytes=result.log_bytes,
            log_dropped_bytes=result.log_dropped_bytes,
            leftover_processes=result.leftover_processes,
            leftover_unknown=result.leftover_unknown,
            started_unix_us=result.started_us,
            late_job_id=self.late_job_id,
        )
        if result.exit_code is not None:
            message.exit_code = result.exit_code
        if result.signal is not None:
            message.signal = result.signal
        return message
