"""One lease that this worker holds, and the messages about it to servers and supervisor."""

import time
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, TypedDict, cast

from loguru import logger

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.bounds import LONGEST_TEXT
from hodei.protocol.words import Outcome
from hodei_worker.supervisor.result import UNKNOWN_CHUNKS, Result, lost
from hodei_worker.supervisor.secrets import Values, packed
from hodei_worker.supervisor.wire import ChunkHeader, KeptJob
from hodei_worker.to_supervisor import ToSupervisor

OUTCOMES = {
    Outcome.SUCCEEDED: pb.SUCCEEDED,
    Outcome.FAILED: pb.FAILED,
    Outcome.CANCELLED: pb.CANCELLED,
    Outcome.LOST: pb.LOST,
}

SUPERVISOR_DIED = lost(
    "the worker's supervisor died; what could be found of its processes was killed"
)


class Phase(Enum):
    WAITING = pb.Held.WAITING
    RUNNING = pb.Held.RUNNING
    ENDED = pb.Held.ENDED


class JobNames(TypedDict):
    """The keys by which the supervisor knows an attempt: those of wire.StartHeader but `op` and `cluster`."""

    lease: int
    job_id: str
    attempt: int
    correlation_id: str
    actor: str


@dataclass
class Held:
    lease: int
    job_id: str
    attempt: int
    correlation_id: str
    actor: str
    phase: Phase
    spec: str = ""  # JSON; empty once the supervisor has it
    # Kept until its end, in memory alone: a supervisor that takes its place needs them.
    secrets: Values = field(default_factory=Values)
    started_us: int = 0  # µs since 1970 when a slot took it; 0 before that
    reports_start: bool = False  # its process runs, and servers wait for `started` (start_timeout)
    stopping: bool = False  # TERM was sent; servers repeat the cancel until they get `stopping`
    result: Result | None = None
    acked: int = 0  # number of log chunks that a server has stored
    sent: int = 0  # number of log chunks that were given to the outbox
    # Number of times the log was read again from the supervisor. A chunk with an older number was
    # already on its way when the last reading began, and is dropped.
    reading: int = 0
    progress_at: float = (
        0.0  # monotonic: last acknowledgement, or first chunk after all were acknowledged
    )
    reported: bool = False  # its result was given to the outbox of this stream
    # A server refused the lease: its processes are killed, and the rest of its log and its result
    # are sent as late.
    late: bool = False
    offered_at: float = field(default_factory=time.monotonic)

    @classmethod
    def from_offer(cls, offer: pb.RunJob) -> "Held":
        return cls(
            offer.lease,
            offer.job_id,
            offer.attempt,
            offer.correlation_id,
            offer.actor,
            Phase.WAITING,
            offer.spec,
            Values(offer.secrets),
        )

    @classmethod
    def from_supervisor(cls, entry: KeptJob) -> "Held":
        """The supervisor may be of another release: every key but `lease` and `job_id` may be
        missing."""
        result = entry.get("result")
        return cls(
            entry["lease"],
            entry["job_id"] or "",
            entry.get("attempt") or 0,
            entry.get("correlation_id") or "",
            entry.get("actor") or "",
            Phase.WAITING,
            started_us=entry.get("started_us") or 1,
            result=Result.from_json(result) if result else None,
            reports_start=bool(entry.get("spawned")),
            acked=entry.get("acked", 0),
            sent=entry.get("acked", 0),
        )

    @cached_property
    def log(self) -> Any:
        """A logger whose lines end with the job's ids."""
        return logger.bind(correlation_id=self.correlation_id, actor=self.actor, job_id=self.job_id)

    @property
    def log_is_sent(self) -> bool:
        """Whether every chunk that must be sent before the result was given to the outbox."""
        return self.result is not None and self.sent >= self.result.chunks_before_it

    @property
    def late_job_id(self) -> str:
        return self.job_id if self.late else ""

    def names(self) -> JobNames:
        return {
            "lease": self.lease,
            "job_id": self.job_id,
            "attempt": self.attempt,
            "correlation_id": self.correlation_id,
            "actor": self.actor,
        }

    def start_frame(self, cluster_id: str) -> tuple[bytes, dict[str, Any]]:
        """Returns payload and header of wire.StartHeader. `cluster_id`: of the database."""
        header: dict[str, Any] = {**self.names(), "cluster": cluster_id}
        if not self.secrets:
            return self.spec.encode(), header
        lengths, values = packed(self.secrets)
        return self.spec.encode() + values, header | {"secrets": lengths}

    def send_secrets(self, supervisor: ToSupervisor) -> None:
        """Sends the values, if it has some, for a supervisor that goes on with it."""
        if self.secrets:
            lengths, values = packed(self.secrets)
            supervisor.send("secrets", values, lease=self.lease, secrets=lengths)

    def chunk_message(self, header: ChunkHeader, data: bytes) -> pb.LogChunk:
        return pb.LogChunk(
            lease=self.lease,
            seq=header["seq"],
            stream=cast("pb.Stream", header["stream"]),
            byte_offset=header["offset"],
            first_line=header["line"],
            read_unix_us=header["read_us"],
            data=data,
            late_job_id=self.late_job_id,
        )

    def result_message(self, result: Result) -> pb.Result:
        message = pb.Result(
            lease=self.lease,
            outcome=OUTCOMES[result.outcome],
            reason=result.reason,
            message=result.message[:LONGEST_TEXT],
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

    def died_with_supervisor(self) -> Result:
        """The result of an attempt that no supervisor knows any more."""
        return Result.of(
            SUPERVISOR_DIED,
            log_chunks=UNKNOWN_CHUNKS,
            spooled=0,
            started_us=self.started_us,
        )
