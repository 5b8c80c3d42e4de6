"""The leases that this worker holds: offers that wait for a slot, jobs that run, and results that
no server has acknowledged. The rules of a lease's life are here.

Everything is synchronous and on one loop: the session calls it for each message of a server, the
link for each frame of a supervisor."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any

from loguru import logger

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.words import Outcome, Reason
from hodei_worker.held import Held, Phase
from hodei_worker.job_limit import JobLimit
from hodei_worker.job_lines import JobLines, ending, received, returned
from hodei_worker.outbox import Outbox
from hodei_worker.supervisor.result import Cause, Result, lost
from hodei_worker.supervisor.secrets import Values
from hodei_worker.supervisor.wire import ChunkHeader, KeptJob, SupervisorHeader
from hodei_worker.to_supervisor import ToSupervisor


class Slots:
    def __init__(
        self, slots: int, supervisor: ToSupervisor, outbox: Outbox, worker_id: str = ""
    ) -> None:
        self.slots = slots
        self.limit = JobLimit()
        self.lines = JobLines(worker_id)
        self.supervisor = supervisor
        self._supervisor_is_away = False
        self._outbox = outbox
        self._held: dict[int, Held] = {}
        self.running = 0
        self.cluster_id = ""  # of the database that the offers are from
        # The server bounds it: it counts our free slots (and checks.most_offers is the limit).
        self._waiting: deque[int] = deque()
        self.draining = False
        self.held_changed = asyncio.Event()  # set: a heartbeat is due

    # ── what is held ──

    def _set_phase(self, job: Held, phase: Phase) -> None:
        self.running += (phase is Phase.RUNNING) - (job.phase is Phase.RUNNING)
        job.phase = phase
        self.limit.now_running(self.running)

    @property
    def waiting(self) -> int:
        """Offers that wait for a slot."""
        return len(self._waiting)

    @property
    def empty(self) -> bool:
        return not self._held

    def held(self) -> list[pb.Held]:
        """Returns them in the order of their offers: the first that runs has run longest."""
        return [
            pb.Held(lease=job.lease, phase=job.phase.value, job_id=job.job_id)
            for job in self._held.values()
            if not job.late
        ]

    def heartbeat(self) -> pb.Heartbeat:
        return pb.Heartbeat(held=self.held(), busy_slots=self.running, draining=self.draining)

    def unacknowledged_for_s(self) -> float:
        """Returns for how many seconds a job waits, at most, for its chunks' acknowledgement."""
        waiting = [job.progress_at for job in self._held.values() if job.sent > job.acked]
        return time.monotonic() - min(waiting) if waiting else 0.0

    def adopt_jobs(self, known: list[KeptJob]) -> None:
        """Takes over the jobs that the supervisor kept while no agent was connected."""
        for entry in known:
            job = Held.from_supervisor(entry)
            self._set_phase(job, Phase.ENDED if job.result else Phase.RUNNING)
            self._held[job.lease] = job
        if known:
            logger.info("adopted {} jobs from the supervisor", len(known))

    def wait_for_supervisor(self) -> None:
        """Until adopt_after_supervisor_death offers wait: what is sent meanwhile is lost."""
        self._supervisor_is_away = True

    def adopt_after_supervisor_death(self, supervisor: ToSupervisor, known: list[KeptJob]) -> None:
        """Called when the supervisor has closed its connection and another connection is open.

        If it died, the next supervisor has ended the jobs in its journal and reports each with a
        result; a job that the journal does not name is killed by its lease and reported lost. If it
        only closed the connection, its jobs are reported without a result and still run."""
        self.supervisor = supervisor
        results = {entry["lease"]: entry.get("result") for entry in known}
        for job in list(self._held.values()):
            if job.phase is Phase.WAITING:
                continue
            if job.lease not in results:
                self.supervisor.send("purge", lease=job.lease, job_id=job.job_id)
            found = results.get(job.lease)
            if job.phase is Phase.RUNNING and (found or job.lease not in results):
                self._on_end(job, Result.from_json(found) if found else job.died_with_supervisor())
            job.send_secrets(self.supervisor)
            self._send_again(job)
        self._supervisor_is_away = False
        self._start_next_jobs()

    # ── messages of a server ──

    def on_offer(self, offer: pb.RunJob) -> None:
        if offer.lease in self._held:
            return
        job = Held.from_offer(offer)
        if self.draining:
            line = partial(returned, job.lease, "the worker is draining")
            self.lines.add("INFO", job, line)
            self._outbox.add_reject(pb.Reject(lease=offer.lease, reason="the worker is draining"))
            return
        self._held[offer.lease] = job
        self._waiting.append(offer.lease)
        self._start_next_jobs()
        self.held_changed.set()

    def _start_next_jobs(self) -> None:
        """Gives free slots to waiting offers. To give a slot is to accept (rule 2). The process
        starts without waiting until the server has committed the accept."""
        while self._waiting and self.running < self.slots and not self._supervisor_is_away:
            job = self._held[self._waiting.popleft()]
            self._set_phase(job, Phase.RUNNING)
            job.started_us = time.time_ns() // 1000
            payload, header = job.start_frame(self.cluster_id)
            self.supervisor.send("start", payload, **header)
            self._outbox.add_accept(job.lease)
            waited_s = time.monotonic() - job.offered_at
            line = partial(received, job.lease, job.attempt, job.spec, waited_s)
            self.lines.add("INFO", job, line)
            job.spec = ""
            if self.limit.count_job():
                self.drain()

    def on_secrets(self, lease: int, values: dict[str, str]) -> None:
        """The values of an attempt that this worker adopted."""
        if (job := self._held.get(lease)) and job.phase is Phase.RUNNING:
            job.secrets = Values(values)
            job.send_secrets(self.supervisor)

    def on_cancel(self, lease: int, reason: str, message: str) -> None:
        job = self._held.get(lease)
        outcome = Outcome.CANCELLED if reason == Reason.CANCELLED else Outcome.FAILED
        cause = Cause(outcome, reason, message)
        if job is None or job.phase is Phase.ENDED:
            return
        self._outbox.add_cancel_received(lease)
        self.lines.add("INFO", job, lambda: f"Cancel request (lease {lease}): {message}")
        if job.phase is Phase.WAITING:
            self._waiting.remove(lease)
            job.phase, job.result = Phase.ENDED, Result.of(cause, run_us=0, started_us=0)
            self._report_result(job)
        else:
            self._stop_job(job, cause)

    def on_refusal(self, lease: int, why: str) -> None:
        """The lease is no longer valid: the job's processes are killed. The rest of its log and its
        result are still sent, as late (rule 1)."""
        job = self._held.get(lease)
        if job is None or job.late:
            return
        line = f"Job stopped: the server refused its lease {lease}: {why}"
        self.lines.add("WARNING", job, lambda: line)
        if job.phase is Phase.WAITING or not job.job_id:
            self._forget_job(job)
            return
        job.late = True
        if job.phase is Phase.RUNNING:
            self._stop_job(job, lost(why), grace_s=0)
        self._send_again(job)

    def on_recall(self, leases: Iterable[int]) -> None:
        """Returns offers that wait here, because another worker can start them sooner. A lease that
        a slot has taken meanwhile stays."""
        for lease in leases:
            job = self._held.get(lease)
            if job and job.phase is Phase.WAITING:
                del self._held[lease]
                self._waiting.remove(lease)
                why = "recalled: no slot of this worker took it in time"
                self._outbox.add_reject(pb.Reject(lease=lease, reason=why))
                self.lines.add("INFO", job, partial(returned, lease, "no slot took it in time"))
        self.held_changed.set()

    def send_late_again(self) -> None:
        """Called on a new stream: the server sends no Resume for a late job."""
        for job in self._held.values():
            if job.late:
                self._send_again(job)

    def _send_again(self, job: Held) -> None:
        """Sends the log from the first unacknowledged chunk on, then the result. Chunks of an
        earlier reading that are still in the supervisor's socket are dropped when they arrive (see
        `reading`): sent now, they would leave a gap in the log."""
        job.sent, job.reported = job.acked, False
        job.reading += 1
        self.supervisor.send("read", lease=job.lease, seq=job.acked, reading=job.reading)
        self._report_result(job)

    def on_log_ack(self, lease: int, next_seq: int) -> None:
        if (job := self._held.get(lease)) and job.acked < next_seq <= job.sent:
            job.acked, job.progress_at = next_seq, time.monotonic()
            self.supervisor.send("ack", lease=lease, seq=next_seq)

    def on_result_ack(self, lease: int) -> None:
        if (job := self._held.get(lease)) and job.reported:
            self._forget_job(job)

    def on_resume(self, resume: pb.Resume) -> None:
        """Called after a reconnect. The server says whether a lease is still valid and which
        part of its log it has."""
        job = self._held.get(resume.lease)
        if job is None:
            return
        if not resume.holds:
            self.on_refusal(resume.lease, "it was no longer valid when the worker reconnected")
            return
        if job.phase is Phase.WAITING:
            return  # it was not given to the supervisor yet
        job.acked = max(job.acked, resume.log_seq)
        if not resume.accepted and job.started_us:
            self._outbox.add_accept(job.lease)
        if job.reports_start:
            self._outbox.add_started(job.lease)
        if job.stopping and job.phase is Phase.RUNNING:
            self._outbox.add_stopping(pb.Stopping(lease=job.lease))
        self._send_again(job)

    # ── frames of a supervisor ──

    def on_supervisor_frame(self, header: SupervisorHeader, payload: bytes) -> None:
        if header["op"] == "warning":
            logger.warning("{}", header["words"])
            return
        if header["op"] == "hello" or header["op"] == "capabilities" or header["op"] == "leftovers":
            return
        if (job := self._held.get(header["lease"])) is None:
            return
        if header["op"] == "chunk":
            self._on_chunk(job, header, payload)
        elif header["op"] == "started":
            job.reports_start = True
            self._outbox.add_started(job.lease)
        elif header["op"] == "stopping":
            job.stopping = True
            self._outbox.add_stopping(pb.Stopping(lease=job.lease))
        elif header["op"] == "ended":
            self._on_end(job, Result.from_json(header["result"]))

    def _on_chunk(self, job: Held, header: ChunkHeader, payload: bytes) -> None:
        if header.get("reading", job.reading) != job.reading:
            return
        if job.sent <= job.acked:
            job.progress_at = time.monotonic()
        job.sent = header["seq"] + 1
        job.log.debug("LogBatch: chunk {} of {} bytes", header["seq"], len(payload))
        self._outbox.add_log(job.chunk_message(header, payload))
        self._report_result(job)

    def _on_end(self, job: Held, result: Result) -> None:
        self._set_phase(job, Phase.ENDED)
        job.result = result
        job.secrets.clear()
        self._start_next_jobs()
        self.held_changed.set()
        self.lines.add("INFO", job, lambda: ending(result))
        self._report_result(job)
        if not self.running:
            self._outbox.hurry()

    def _report_result(self, job: Held) -> None:
        """Sends the result once on each stream, after the last chunk of the log: a job must not
        become final before its log is complete (rule 5)."""
        if job.result and job.log_is_sent and not job.reported:
            job.reported = True
            self._outbox.add_result(job.result_message(job.result))

    def _forget_job(self, job: Held) -> None:
        if job.phase is Phase.WAITING:
            self._waiting.remove(job.lease)
        self._set_phase(job, Phase.ENDED)
        del self._held[job.lease]
        self.supervisor.send("forget", lease=job.lease)
        self.held_changed.set()

    # ── the end of this worker ──

    def drain(self) -> None:
        """Takes no more offers, and returns those that wait for a slot."""
        self.draining = True
        while self._waiting:
            job = self._held.pop(self._waiting.popleft())
            self._outbox.add_reject(pb.Reject(lease=job.lease, reason="the worker is draining"))
        self.held_changed.set()

    def stop_running_jobs(self, message: str) -> None:
        """Stops every running job. Each is reported lost, so that servers run it elsewhere."""
        for job in self._held.values():
            if job.phase is Phase.RUNNING:
                self._stop_job(job, lost(message))

    def _stop_job(self, job: Held, cause: Cause, grace_s: float | None = None) -> None:
        """`grace_s`: seconds between TERM and KILL; None: as the job's spec says."""
        grace: dict[str, Any] = {} if grace_s is None else {"grace": grace_s}
        self.supervisor.send("stop", lease=job.lease, **cause._asdict(), **grace)
