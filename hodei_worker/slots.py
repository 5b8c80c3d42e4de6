"""What this worker holds: offers that wait for a slot, jobs that run, results that no server has
acknowledged. The rules of a lease's life.

Everything here is synchronous and on one loop: the session tells what the server says, the link
what the supervisor says."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, partial
from typing import Any, Protocol

from loguru import logger

from hodei.protocol import hodei_pb2 as pb
from hodei_worker.job_lines import UNKNOWN_CHUNKS, JobLines, command_of, ending
from hodei_worker.outbox import Outbox

OUTCOMES = {
    "SUCCEEDED": pb.SUCCEEDED,
    "FAILED": pb.FAILED,
    "CANCELLED": pb.CANCELLED,
    "LOST": pb.LOST,
}


SUPERVISOR_DIED: dict[str, Any] = {
    "outcome": "LOST",
    "reason": "WORKER_LOST",
    "run_us": 1,
    "message": "the worker's supervisor died; what could be found of its processes was killed",
    "log_chunks": UNKNOWN_CHUNKS,
    "spooled": 0,
}


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
    spec: str = ""
    started_us: int = 0
    tells_start: bool = False  # its process runs, and the servers wait to hear so (start_timeout)
    stopping: bool = False  # TERM is on its way to it: servers ask until they hear so
    result: dict[str, Any] | None = None
    acked: int = 0  # log chunks that a server has stored
    sent: int = 0  # log chunks that went out
    # how often its log was read anew; chunks of an earlier reading were on their way when it began
    reading: int = 0
    progress_at: float = 0.0  # monotonic: the last acknowledgement, or the first chunk after one
    reported: bool = False  # its result went out on this stream
    late: bool = (
        False  # refused: killed; what is left of its log and its result go out for the record
    )
    came_at: float = field(default_factory=time.monotonic)

    @cached_property
    def log(self) -> Any:
        return logger.bind(correlation_id=self.correlation_id, actor=self.actor, job_id=self.job_id)


class ToSupervisor(Protocol):
    """The link, or a test's record of what was said to it."""

    def send(self, op: str, payload: bytes = b"", **header: Any) -> None: ...


class Slots:
    def __init__(
        self, slots: int, supervisor: ToSupervisor, outbox: Outbox, worker_id: str = ""
    ) -> None:
        self.slots = slots
        self.lines = JobLines(worker_id)
        self._supervisor = supervisor
        self._outbox = outbox
        self._held: dict[int, Held] = {}
        self.running = 0
        self._waiting: deque[int] = (
            deque()
        )  # bounded by what the server offers: its count of our free slots
        self.draining = False
        self.changed = asyncio.Event()  # what is held: time for a heartbeat

    # ── what is held ──

    def _enter(self, job: Held, phase: Phase) -> None:
        self.running += (phase is Phase.RUNNING) - (job.phase is Phase.RUNNING)
        job.phase = phase

    @property
    def waiting(self) -> int:
        """Offers that wait for a slot."""
        return len(self._waiting)

    @property
    def empty(self) -> bool:
        return not self._held

    def held(self) -> list[pb.Held]:
        """In the order in which they came: the first that runs is the one that has run longest."""
        return [
            pb.Held(lease=job.lease, phase=job.phase.value, job_id=job.job_id)
            for job in self._held.values()
            if not job.late
        ]

    def heartbeat(self) -> pb.Heartbeat:
        return pb.Heartbeat(
            held=self.held(),
            busy_slots=self.running,
            draining=self.draining,
        )

    def unacknowledged_for_s(self) -> float:
        """The longest time that sent log chunks have gone without any acknowledgement; 0 when none
        are outstanding."""
        waiting = [job.progress_at for job in self._held.values() if job.sent > job.acked]
        return time.monotonic() - min(waiting) if waiting else 0.0

    def adopt(self, known: list[dict[str, Any]]) -> None:
        """Jobs that the supervisor kept while there was no agent."""
        for entry in known:
            job = Held(
                entry["lease"],
                entry["job_id"] or "",
                entry.get("attempt") or 0,
                entry.get("correlation_id") or "",
                entry.get("actor") or "",
                Phase.WAITING,
                started_us=entry.get("started_us") or 1,
                result=entry.get("result"),
                tells_start=bool(entry.get("spawned")),
                acked=entry.get("acked", 0),
                sent=entry.get("acked", 0),
            )
            self._enter(job, Phase.ENDED if job.result else Phase.RUNNING)
            self._held[job.lease] = job
        if known:
            logger.info("adopted {} jobs from the supervisor", len(known))

    def adopt_after_death(self, supervisor: ToSupervisor, known: list[dict[str, Any]]) -> None:
        """The supervisor died, and another has read its journal: what ran has ended. What the
        journal missed is killed by its lease.
        Of one that only hung up, jobs without a result still run."""
        self._supervisor = supervisor
        results = {entry["lease"]: entry.get("result") for entry in known}
        for job in list(self._held.values()):
            if job.phase is Phase.WAITING:
                continue
            if job.lease not in results:
                self._supervisor.send("purge", lease=job.lease, job_id=job.job_id)
            if job.phase is Phase.RUNNING and results.get(job.lease, SUPERVISOR_DIED):
                self._ended(
                    job, results.get(job.lease) or SUPERVISOR_DIED | {"started_us": job.started_us}
                )
            self._say_again(job)

    # ── the server says ──

    def offered(self, offer: pb.RunJob) -> None:
        if offer.lease in self._held:
            return
        job = Held(
            offer.lease,
            offer.job_id,
            offer.attempt,
            offer.correlation_id,
            offer.actor,
            Phase.WAITING,
            offer.spec,
        )
        if self.draining:
            self.lines.tell(
                "INFO",
                job,
                lambda: f"Received job (lease {job.lease}): given back, the worker is draining",
            )
            self._outbox.reject(pb.Reject(lease=offer.lease, reason="the worker is draining"))
            return
        self._held[offer.lease] = job
        self._waiting.append(offer.lease)
        self._fill()
        self.changed.set()

    def _fill(self) -> None:
        """Accept = a slot takes the job (rule 2); its process starts without waiting for the server's
        commit."""
        while self._waiting and self.running < self.slots:
            job = self._held[self._waiting.popleft()]
            self._enter(job, Phase.RUNNING)
            job.started_us = time.time_ns() // 1000
            self._supervisor.send(
                "start",
                job.spec.encode(),
                lease=job.lease,
                job_id=job.job_id,
                attempt=job.attempt,
                correlation_id=job.correlation_id,
                actor=job.actor,
            )
            self._outbox.accept(job.lease)
            self.lines.tell(
                "INFO", job, partial(_received, job, job.spec, time.monotonic() - job.came_at)
            )
            job.spec = ""

    def cancel(self, lease: int, reason: str, message: str) -> None:
        job = self._held.get(lease)
        outcome = "CANCELLED" if reason == "CANCELLED" else "FAILED"
        cause: dict[str, Any] = {"outcome": outcome, "reason": reason, "message": message}
        if job is None or job.phase is Phase.ENDED:
            return
        self._outbox.cancel_received(lease)
        self.lines.tell("INFO", job, lambda: f"cancel arrived (lease {lease}): {message}")
        if job.phase is Phase.WAITING:
            self._waiting.remove(lease)
            job.phase, job.result = (
                Phase.ENDED,
                cause | {"run_us": 0, "log_chunks": 0, "started_us": 0},
            )
            self._report(job)
        else:
            self._supervisor.send("stop", lease=lease, **cause)

    def refused(self, lease: int, why: str) -> None:
        """The lease no longer holds: kill; what it wrote and how it ended is still told, as late
        (rule 1)."""
        job = self._held.get(lease)
        if job is None or job.late:
            return
        self.lines.tell("WARNING", job, lambda: f"lease {lease} is refused: {why}")
        if job.phase is Phase.WAITING or not job.job_id:
            self._forget(job)
            return
        job.late = True
        if job.phase is Phase.RUNNING:
            cause: dict[str, Any] = {"outcome": "LOST", "reason": "WORKER_LOST", "message": why}
            self._supervisor.send("stop", lease=lease, grace=0, **cause)
        self._say_again(job)

    def recalled(self, leases: Iterable[int]) -> None:
        """Servers want offers back that wait here: other workers are free, or will be sooner."""
        for lease in leases:
            job = self._held.get(lease)
            if job and job.phase is Phase.WAITING:
                del self._held[lease]
                self._waiting.remove(lease)
                self._outbox.reject(
                    pb.Reject(
                        lease=lease, reason="asked back: no slot of this worker took it in time"
                    )
                )
                self.lines.tell("INFO", job, partial(_given_back, lease))
        self.changed.set()

    def say_late_again(self) -> None:
        """On a new stream: what is late has no resume from the server."""
        for job in self._held.values():
            if job.late:
                self._say_again(job)

    def _say_again(self, job: Held) -> None:
        """The log from where it was acknowledged, and the result behind it. What the supervisor has
        sent before it hears of this is let go: it would come ahead of what is read again, and leave
        a gap in the log."""
        job.sent, job.reported = job.acked, False
        job.reading += 1
        self._supervisor.send("read", lease=job.lease, seq=job.acked, reading=job.reading)
        self._report(job)

    def log_acked(self, lease: int, next_seq: int) -> None:
        if (job := self._held.get(lease)) and job.acked < next_seq <= job.sent:
            job.acked, job.progress_at = next_seq, time.monotonic()
            self._supervisor.send("ack", lease=lease, seq=next_seq)

    def result_acked(self, lease: int) -> None:
        if (job := self._held.get(lease)) and job.reported:
            self._forget(job)

    def resumed(self, resume: pb.Resume) -> None:
        """After a reconnect: the server's word on one lease that we hold."""
        job = self._held.get(resume.lease)
        if job is None:
            return
        if not resume.holds:
            self.refused(resume.lease, "it did not hold any more when the worker came back")
            return
        if job.phase is Phase.WAITING:
            return  # the supervisor does not know it yet
        job.acked = max(job.acked, resume.log_seq)
        if not resume.accepted and job.started_us:
            self._outbox.accept(job.lease)
        if job.tells_start:
            self._outbox.started(job.lease)
        if job.stopping and job.phase is Phase.RUNNING:
            self._outbox.stopping(pb.Stopping(lease=job.lease))
        self._say_again(job)

    # ── the supervisor says ──

    def heard(self, header: dict[str, Any], payload: bytes) -> None:
        if header["op"] == "warning":
            logger.warning("on this host: {}", header["words"])
        job = self._held.get(header.get("lease", 0))
        if job is None:
            return
        match header["op"]:
            case "chunk":
                if header.get("reading", job.reading) != job.reading:
                    return
                if job.sent <= job.acked:
                    job.progress_at = time.monotonic()
                job.sent = header["seq"] + 1
                job.log.debug("LogBatch: chunk {} of {} bytes", header["seq"], len(payload))
                self._outbox.log(
                    pb.LogChunk(
                        lease=job.lease,
                        seq=header["seq"],
                        stream=header["stream"],
                        byte_offset=header["offset"],
                        first_line=header["line"],
                        read_unix_us=header["read_us"],
                        data=payload,
                        late_job_id=job.job_id if job.late else "",
                    )
                )
                self._report(job)
            case "started":
                job.tells_start = True
                self._outbox.started(job.lease)
            case "stopping":
                job.stopping = True
                self._outbox.stopping(pb.Stopping(lease=job.lease))
            case "ended":
                self._ended(job, header["result"])

    def _ended(self, job: Held, result: dict[str, Any]) -> None:
        self._enter(job, Phase.ENDED)
        job.result = result
        self._fill()
        self.changed.set()
        self.lines.tell("INFO", job, lambda: ending(result))
        self._report(job)

    def _report(self, job: Held) -> None:
        """Once, and behind the last of the log: no final state comes before the log's tail (rule 5)."""
        result = job.result
        if result is None or job.reported or job.sent < result.get("spooled", result["log_chunks"]):
            return
        job.reported = True
        message = pb.Result(
            lease=job.lease,
            outcome=OUTCOMES[result["outcome"]],
            reason=result["reason"],
            message=result["message"][:2000],
            run_us=result["run_us"],
            peak_memory_bytes=result.get("peak_memory_bytes", 0),
            cpu_us=result.get("cpu_us", 0),
            log_chunks=result["log_chunks"],
            log_bytes=result.get("log_bytes", 0),
            log_dropped_bytes=result.get("log_dropped_bytes", 0),
            leftover_processes=result.get("leftover_processes", 0),
            started_unix_us=result.get("started_us", job.started_us),
            late_job_id=job.job_id if job.late else "",
        )
        if "exit_code" in result:
            message.exit_code = result["exit_code"]
        if "signal" in result:
            message.signal = result["signal"]
        self._outbox.result(message)

    def _forget(self, job: Held) -> None:
        if job.phase is Phase.WAITING:
            self._waiting.remove(job.lease)
        self._enter(job, Phase.ENDED)
        del self._held[job.lease]
        self._supervisor.send("forget", lease=job.lease)
        self.changed.set()

    # ── the end ──

    def drain(self) -> None:
        """Nothing new: offers that wait go back at once."""
        self.draining = True
        while self._waiting:
            job = self._held.pop(self._waiting.popleft())
            self._outbox.reject(pb.Reject(lease=job.lease, reason="the worker is draining"))
        self.changed.set()

    def stop_all(self, message: str) -> None:
        cause: dict[str, Any] = {"outcome": "LOST", "reason": "WORKER_LOST", "message": message}
        for job in self._held.values():
            if job.phase is Phase.RUNNING:
                self._supervisor.send("stop", lease=job.lease, **cause)


def _received(job: Held, spec: str, waited_s: float) -> str:
    """Said when a slot takes it: nearly always at once; one that waited says for how long."""
    waited = f", waited {waited_s:.2f} s for a slot" if waited_s >= 0.01 else ""
    about = f"lease {job.lease}, attempt {job.attempt}{waited}"
    return f"Received job ({about}). Executing command: {command_of(spec)}"


def _given_back(lease: int) -> str:
    return f"Received job (lease {lease}): given back, no slot took it in time"
