"""What this worker holds: offers that wait for a slot, jobs that run, results that no server has
acknowledged. The rules of a lease's life.

Everything here is synchronous and on one loop: the session tells what the server says, the link
what the supervisor says."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

from loguru import logger

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.words import Outcome, Reason
from hodei_worker.held import Held, Phase
from hodei_worker.job_lines import JobLines, command_of, ending
from hodei_worker.outbox import Outbox
from hodei_worker.supervisor.result import UNKNOWN_CHUNKS, Cause, Result, lost
from hodei_worker.supervisor.wire import Header

SUPERVISOR_DIED = lost(
    "the worker's supervisor died; what could be found of its processes was killed"
)


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
        # bounded by what the server offers: its count of our free slots
        self._waiting: deque[int] = deque()
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
            job = Held.adopted(entry)
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
            told = results.get(job.lease)
            if job.phase is Phase.RUNNING and (told or job.lease not in results):
                self._ended(job, Result.read(told) if told else _died_with_supervisor(job))
            self._say_again(job)

    # ── the server says ──

    def offered(self, offer: pb.RunJob) -> None:
        if offer.lease in self._held:
            return
        job = Held.offered(offer)
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
            self._supervisor.send("start", job.spec.encode(), **job.start())
            self._outbox.accept(job.lease)
            self.lines.tell(
                "INFO", job, partial(_received, job, job.spec, time.monotonic() - job.came_at)
            )
            job.spec = ""

    def cancel(self, lease: int, reason: str, message: str) -> None:
        job = self._held.get(lease)
        outcome = Outcome.CANCELLED if reason == Reason.CANCELLED else Outcome.FAILED
        cause = Cause(outcome, reason, message)
        if job is None or job.phase is Phase.ENDED:
            return
        self._outbox.cancel_received(lease)
        self.lines.tell("INFO", job, lambda: f"cancel arrived (lease {lease}): {message}")
        if job.phase is Phase.WAITING:
            self._waiting.remove(lease)
            job.phase, job.result = Phase.ENDED, Result.of(cause, run_us=0, started_us=0)
            self._report(job)
        else:
            self._stop(job, cause)

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
            self._stop(job, lost(why), grace=0)
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

    def heard(self, header: Header, payload: bytes) -> None:
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
                self._outbox.log(job.chunk(header, payload))
                self._report(job)
            case "started":
                job.tells_start = True
                self._outbox.started(job.lease)
            case "stopping":
                job.stopping = True
                self._outbox.stopping(pb.Stopping(lease=job.lease))
            case "ended":
                self._ended(job, Result.read(header["result"]))

    def _ended(self, job: Held, result: Result) -> None:
        self._enter(job, Phase.ENDED)
        job.result = result
        self._fill()
        self.changed.set()
        self.lines.tell("INFO", job, lambda: ending(result))
        self._report(job)

    def _report(self, job: Held) -> None:
        """Once, and behind the last of the log: no final state comes before the log's tail (rule 5)."""
        if job.result and job.log_is_sent and not job.reported:
            job.reported = True
            self._outbox.result(job.report(job.result))

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
        """Reported lost, for servers to run them elsewhere."""
        for job in self._held.values():
            if job.phase is Phase.RUNNING:
                self._stop(job, lost(message))

    def _stop(self, job: Held, cause: Cause, **more: Any) -> None:
        self._supervisor.send("stop", lease=job.lease, **cause._asdict(), **more)


def _died_with_supervisor(job: Held) -> Result:
    started_us = job.started_us
    return Result.of(SUPERVISOR_DIED, log_chunks=UNKNOWN_CHUNKS, spooled=0, started_us=started_us)


def _received(job: Held, spec: str, waited_s: float) -> str:
    """Said when a slot takes it: nearly always at once; one that waited says for how long."""
    waited = f", waited {waited_s:.2f} s for a slot" if waited_s >= 0.01 else ""
    about = f"lease {job.lease}, attempt {job.attempt}{waited}"
    return f"Received job ({about}). Executing command: {command_of(spec)}"


def _given_back(lease: int) -> str:
    return f"Received job (lease {lease}): given back, no slot took it in time"
