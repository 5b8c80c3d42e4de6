"""The supervisor's service: it accepts one agent at a time on its socket, and has the attempts of one
executor, the spool and the journal.

When the agent goes away, its attempts go on (the next agent adopts them) or are stopped, as the
agent's hello said. Without attempts and agent for ALONE_S, the supervisor ends."""

import asyncio
import functools
import sys
import time
import traceback
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import hodei_worker
from hodei.protocol.words import Outcome
from hodei_worker.supervisor import secrets, spec, wire
from hodei_worker.supervisor.executor import Attempt, Executor, Listener, Start
from hodei_worker.supervisor.job import Job, not_begun, time_us
from hodei_worker.supervisor.journal import Journal
from hodei_worker.supervisor.recovery import recover
from hodei_worker.supervisor.result import Cause, Result, lost
from hodei_worker.supervisor.window import LogWindow

BEGIN_AT_ONCE = 8
"""Attempts that are begun in one turn of the loop; the rest follow in the next turns."""

MOST_WARNINGS = 20  # that wait for an agent; older ones are dropped

CHECK_EVERY_S = 0.5  # between two checks of all attempts

ALONE_S = 5.0
"""Seconds for which a supervisor without attempts and agent waits for an agent."""


class Supervisor:
    def __init__(
        self, state: Path, executor: Executor, settings: Mapping[str, Any], *, keep: bool
    ) -> None:
        """`settings`: those that this supervisor keeps until its end, for the agent to compare with
        its own."""
        self._keep = keep
        self._settings = settings
        self._executor = executor
        self._journal = Journal(state / "journal")
        self._spool, recovered = recover(state, self._journal, self._executor)
        self._jobs = {
            one.start.lease: Job(one.start, self._window(one.start, one.spool), result=one.result)
            for one in recovered
        }
        self._agent: wire.Connection | None = None
        self._greeted = False  # no frame may precede our hello, which lists all jobs
        self._to_begin: deque[Attempt] = deque()  # bounded by the agent's slots
        self._told: dict[str, Any] = {}  # what the agent knows of the executor
        self._idle_since = time.monotonic()
        self._ending = asyncio.Event()
        self._untold: deque[str] = deque(maxlen=MOST_WARNINGS)
        self._replaced = self._leaves_attempts = False
        self._ops: dict[str, wire.OnFrame] = {
            "hello": self._hello,
            "start": self._start,
            "secrets": self._secrets,
            "stop": self._stop,
            "read": self._read,
            "ack": self._ack,
            "forget": self._forget,
            "purge": self._purge,
            "exit": self._exit,
            "hand_over": self._hand_over,
        }

    def _window(self, start: Start, job_spool: Any) -> LogWindow:
        return LogWindow(start.lease, job_spool, self._send)

    # ── life ──

    async def run(self, socket_path: Path) -> None:
        """Returns after an agent's `exit`, or when the supervisor is no longer needed."""
        self._socket = socket_path
        socket_path.unlink(missing_ok=True)
        loop = self._loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(self._on_agent_connected, str(socket_path))
        socket_path.chmod(0o600)
        try:
            async with server, asyncio.TaskGroup() as group:
                self._executor.open(group, self._warn)
                self._go_on()
                checks = group.create_task(self._check_attempts())
                await self._ending.wait()
                checks.cancel()
                await self._wait_until_all_ended()
                self._executor.close()
                self._journal.close()
                if self._agent:
                    self._agent.close()
        finally:
            self._executor.remove()
            if not self._replaced:
                socket_path.unlink(missing_ok=True)

    def _go_on(self) -> None:
        """Continues attempts of an earlier supervisor that may still run."""
        for job in self._jobs.values():
            if job.result is None:
                job.attempt = self._executor.go_on(job.start, job.log.spool, self._listener(job))

    async def _check_attempts(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            self._executor.check()
            self._tell_change("capabilities", self._executor.capabilities)
            self._tell_change("leftovers", self._executor.leftovers)
            for job in list(self._jobs.values()):
                if job.attempt:
                    job.attempt.check()
            if self._agent or any(job.result is None for job in self._jobs.values()):
                self._idle_since = time.monotonic()
            elif time.monotonic() - self._idle_since > ALONE_S:
                self._ending.set()

    def _tell_change(self, op: str, now: Any) -> None:
        if self._told.get(op) != now and self._send(op, **{op: now}):
            self._told[op] = now

    def _end_all(self) -> None:
        for job in self._jobs.values():
            if job.attempt and job.result is None:
                job.attempt.stop(lost("the worker was stopped"))
        self._ending.set()

    async def _wait_until_all_ended(self) -> None:
        while not self._leaves_attempts and any(job.attempt for job in self._jobs.values()):
            await asyncio.sleep(0.02)

    # ── the agent ──

    def _on_agent_connected(self) -> wire.Connection:
        agent = wire.Connection(self._on_frame, before_write=self._journal.flush)
        if self._agent:
            self._loop.call_soon(agent.close)
            return agent
        self._agent, self._greeted = agent, False
        agent.ended.add_done_callback(self._on_agent_gone)
        return agent

    def _on_agent_gone(self, ended: "asyncio.Future[None]") -> None:
        self._agent = None
        if error := ended.exception():
            print(f"the agent's connection ended: {error!r}", file=sys.stderr, flush=True)
        if not self._keep:
            self._end_all()

    def _send(self, op: str, payload: bytes = b"", **header: Any) -> bool:
        """Returns False if no agent is connected, or its hello has not come yet."""
        if not (self._agent and self._greeted):
            return False
        self._agent.send(op, payload, **header)
        return True

    def _warn(self, words: str) -> None:
        """Logs a text for the person who looks after this host, here and at the agent. It may be
        called in another thread."""
        print(words, file=sys.stderr, flush=True)
        self._loop.call_soon_threadsafe(self._tell, words)

    def _tell(self, words: str) -> None:
        if not self._send("warning", words=words):
            self._untold.append(words)

    def _on_frame(self, header: wire.AgentHeader, payload: bytes) -> None:
        """Runs the operation of a frame. An error in an operation on an attempt ends that attempt;
        the agent and the other attempts go on."""
        op = self._ops.get(header["op"])
        if op is None:
            return
        try:
            op(header, payload)
        except Exception as error:
            job = self._jobs.get(cast("int", header.get("lease", 0)))
            if job:
                self._fail(job, error)
            elif header["op"] == "start":
                traceback.print_exception(error, file=sys.stderr)
                result = not_begun(f"the worker could not begin the job: {error!r}")
                self._send("ended", lease=header["lease"], result=result.as_json())
            else:
                raise

    def _fail(self, job: Job, error: Exception) -> None:
        if job.attempt:
            job.attempt.fail(error)
            return
        traceback.print_exception(error, file=sys.stderr)
        if job.result is None:
            words = f"the worker could not begin the job: {error!r}"
            self._on_ended(job, not_begun(words, job.log.spool.next_seq))

    # ── operations of the agent ──

    def _hello(self, header: wire.AgentHelloHeader, _: bytes) -> None:
        self._greeted = True
        self._keep = header.get("keep", self._keep)
        for job in self._jobs.values():
            job.log.wait_for_read()
        self._told = {"capabilities": self._executor.capabilities, "leftovers": []}
        about: dict[str, Any] = {"version": wire.VERSION, "release": hodei_worker.__version__}
        about |= {"settings": self._settings, "capabilities": self._executor.capabilities}
        self._send("hello", jobs=[job.adoption() for job in self._jobs.values()], **about)
        while self._untold:
            self._send("warning", words=self._untold.popleft())

    def _start(self, header: wire.StartHeader, payload: bytes) -> None:
        lease = header["lease"]
        if lease in self._jobs or self._ending.is_set():
            return
        payload, values = secrets.unpacked(header.get("secrets") or {}, payload)
        entry = {**header, "started_us": time_us()}
        start, job_spool, words = Start.from_entry(entry, values), self._spool.of_job(lease), ""
        job = self._jobs[lease] = Job(start, self._window(start, job_spool))
        try:
            start.spec.update(spec.read(payload))
            secrets.check(start.spec, values)
        except spec.Unusable as error:
            words = f"the worker cannot use what the database has: {error}"
        self._journal.add_start(entry | self._executor.journal_marks(start))
        if words:
            self._on_ended(job, not_begun(words))
            return
        job.attempt = self._executor.attempt(start, job_spool, self._listener(job))
        if not self._to_begin:
            self._loop.call_soon(self._begin_attempts)
        self._to_begin.append(job.attempt)

    def _listener(self, job: Job) -> Listener:
        lease = job.start.lease
        return Listener(
            on_chunk=job.log.send_more,
            on_started=functools.partial(self._on_started, job),
            on_stopping=functools.partial(self._send, "stopping", lease=lease),
            on_ended=functools.partial(self._on_ended, job),
            on_processes=functools.partial(self._on_processes, lease),
        )

    def _begin_attempts(self) -> None:
        """Begins a few attempts, after the journal that names them is written. The rest follows in
        the next turn of the loop, so that ends of other attempts are handled between."""
        self._journal.flush()
        for _ in range(min(BEGIN_AT_ONCE, len(self._to_begin))):
            self._to_begin.popleft().begin()
        if self._to_begin:
            self._loop.call_soon(self._begin_attempts)

    def _secrets(self, header: wire.SecretsHeader, payload: bytes) -> None:
        if (job := self._jobs.get(header["lease"])) and job.attempt:
            job.attempt.give_secrets(secrets.unpacked(header["secrets"], payload)[1])

    def _stop(self, header: wire.StopHeader, _: bytes) -> None:
        if (job := self._jobs.get(header["lease"])) and job.attempt:
            cause = Cause(Outcome(header["outcome"]), header["reason"], header["message"])
            job.attempt.stop(cause, header.get("grace"))

    def _read(self, header: wire.ReadHeader, _: bytes) -> None:
        if job := self._jobs.get(header["lease"]):
            job.log.read_from(header["seq"], header.get("reading", 0))

    def _ack(self, header: wire.AckHeader, _: bytes) -> None:
        if job := self._jobs.get(header["lease"]):
            job.log.on_ack(header["seq"])
            if job.attempt:
                job.attempt.resume()
            job.log.send_more()

    def _forget(self, header: wire.ForgetHeader, _: bytes) -> None:
        job = self._jobs.get(header["lease"])
        if job and job.result is not None:
            del self._jobs[header["lease"]]
            job.log.spool.close()
            if self._journal.flushed:  # else its flush is due already: they come by the hundred
                self._loop.call_soon(self._journal.flush)
            self._journal.add_forgotten(header["lease"])

    def _purge(self, header: wire.PurgeHeader, _: bytes) -> None:
        """Of a supervisor that died without writing its journal."""
        if header["lease"] not in self._jobs:
            self._executor.purge(header["job_id"], header["lease"])

    def _exit(self, _header: wire.ExitHeader, _payload: bytes) -> None:
        """Ends this supervisor. The agent starts another one when the connection has ended, so our
        socket must be removed before."""
        self._replaced = True
        self._socket.unlink(missing_ok=True)
        self._end_all()
        if self._agent:
            self._agent.close()

    def _hand_over(self, _header: wire.HandOverHeader, _payload: bytes) -> None:
        """Ends this supervisor and leaves its attempts running, for the next one to go on with."""
        self._leaves_attempts = True
        self._ending.set()

    # ── callbacks of an attempt ──

    def _on_started(self, job: Job) -> None:
        """The agent needs `started` only for a job with a start_timeout."""
        if job.start.spec.get("start_timeout"):
            job.start_reported = True
            self._send("started", lease=job.start.lease)

    def _on_processes(self, lease: int, processes: dict[int, int]) -> None:
        self._journal.add_processes(lease, processes)
        self._loop.call_soon(self._journal.flush)

    def _on_ended(self, job: Job, result: Result) -> None:
        """A frame to the agent flushes the journal before it leaves."""
        self._journal.add_result(job.start.lease, words := job.end(result))
        if not self._send("ended", lease=job.start.lease, result=words):
            self._loop.call_soon(self._journal.flush)
