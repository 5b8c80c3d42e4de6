"""The supervisor's service: one agent at a time over the socket; jobs, their spools and the
journal.

When the agent goes away, jobs are kept (the next agent adopts them) or killed, as it was told at
its start; when nothing is left and nobody has come for a while, it ends by itself."""

import asyncio
import functools
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hodei_worker
from hodei_worker.supervisor import kin, spec, wire
from hodei_worker.supervisor.cgroups import Cgroups
from hodei_worker.supervisor.host import Ears, Host
from hodei_worker.supervisor.journal import Journal
from hodei_worker.supervisor.launchers import Launchers
from hodei_worker.supervisor.place import Folders
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.process import JobProcess
from hodei_worker.supervisor.remains import kill_left
from hodei_worker.supervisor.spool import Chunk, Spool, Tape
from hodei_worker.supervisor.user import JobUser
from hodei_worker.supervisor.verdict import Result, failed, lost

WINDOW_BYTES = 1_500_000
"""Of one job's log sent to the agent and not acknowledged by a server."""

BEGIN_AT_ONCE = 8
"""Processes that are spawned in one turn of the loop."""

REAP_AFTER_S = 0.05

ALONE_S = 5.0
"""How long an idle supervisor without an agent waits for one."""


@dataclass
class Job:
    start: dict[str, Any]
    tape: Tape
    process: JobProcess | None = None
    result: Result | None = None
    next_to_send: int = 0
    reading: int = 0  # the agent's number for its last `read`
    sent_bytes: int = 0  # not acknowledged
    sizes: dict[int, int] = field(
        default_factory=dict
    )  # seq → bytes, of what was sent and is not acknowledged


class Supervisor:
    def __init__(self, state: Path, *, keep: bool, log_limit: int, user: JobUser | None) -> None:
        self._state = state
        self._keep = keep
        self._log_limit = log_limit
        self._user = user
        self._jobs: dict[int, Job] = {}
        self._agent: wire.Connection | None = None
        self._greeted = (
            False  # nothing is said to an agent before our hello, which tells what there is
        )
        self._to_begin: deque[JobProcess] = deque()  # bounded by the agent's slots
        self._idle_since = time.monotonic()
        self._over = asyncio.Event()
        self._replaced = False
        self._reaping = False
        self._oom_kills = deque([kin.oom_kills()], maxlen=7)  # of the last 3 s
        self._journal = Journal(state / "journal")
        self._ops: dict[str, Callable[[wire.Header, bytes], None]] = {
            "hello": self._hello,
            "start": self._start,
            "stop": self._stop,
            "read": self._read,
            "ack": self._ack,
            "forget": self._forget,
            "purge": self._purge,
            "exit": self._exit,
        }

    async def run(self, socket_path: Path) -> None:
        self._socket = socket_path
        kin.become_subreaper()
        self._cgroups = Cgroups.found(self._state)
        self._recover()
        socket_path.unlink(missing_ok=True)
        loop = self._loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(self._meet_agent, str(socket_path))
        socket_path.chmod(0o600)
        try:
            async with server, asyncio.TaskGroup() as self._group:
                poller = Poller()
                folders = Folders(self._state / "jobs", self._user, self._told_by_thread)
                launchers = Launchers(poller, self._cgroups, self._user, loop.call_later)
                self._host = Host(
                    poller, folders, self._log_limit, self._group, self._memory_was_short, launchers
                )
                loop.add_signal_handler(signal.SIGCHLD, self._reap_soon)
                watchers = [self._group.create_task(self._watch_alone())]
                await self._over.wait()
                for watcher in watchers:
                    watcher.cancel()
                await self._until_all_ended()
                launchers.close()
                self._journal.close()
                if self._agent:
                    self._agent.close()
        finally:
            if self._cgroups:
                self._cgroups.remove()
            if not self._replaced:
                socket_path.unlink(missing_ok=True)

    def _recover(self) -> None:
        """What a supervisor that died left running nobody can hear any more: killed, and reported
        lost.

        What it has spooled is sent before that; what was in the pipes is gone, and the counted
        chunks say so.
        """
        self._spool, tapes = Spool.recover(self._state / "spool", self._journal.entries)
        for lease, entry in self._journal.entries.items():
            job = Job(entry, tapes[lease], result=entry.get("result"))
            self._jobs[lease] = job
            if job.result is None:
                message = f"the worker's supervisor died; {kill_left(entry)}"
                job.result = lost(message) | {"run_us": 1, "log_chunks": 1 << 62}
                job.result["started_us"] = entry.get("started_us", 1)
                self._journal.ended(lease, job.result)
            job.result["spooled"] = min(job.tape.next_seq, job.result["log_chunks"])
        self._journal.flush()

    # ── life ──

    async def _watch_alone(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self._oom_kills.append(kin.oom_kills())
            self._host.launchers.wake()
            for job in list(self._jobs.values()):
                if job.process:
                    job.process.look()
            if self._agent or any(job.result is None for job in self._jobs.values()):
                self._idle_since = time.monotonic()
            elif time.monotonic() - self._idle_since > ALONE_S:
                self._over.set()

    def _reap_soon(self) -> None:
        """What jobs left behind and has ended by now: gathered for a moment, as it may come by the
        hundred."""
        if not self._reaping:
            self._reaping = True
            self._loop.call_later(REAP_AFTER_S, self._reap)

    def _reap(self) -> None:
        self._reaping = False
        self._host.reap()

    def _end_all(self) -> None:
        for job in self._jobs.values():
            if job.process and job.result is None:
                job.process.stop(
                    {
                        "outcome": "LOST",
                        "reason": "WORKER_LOST",
                        "message": "the worker was stopped",
                    }
                )
        self._over.set()

    async def _until_all_ended(self) -> None:
        while any(job.process for job in self._jobs.values()):
            await asyncio.sleep(0.02)

    def _memory_was_short(self) -> bool:
        """Whether the kernel has killed somebody in the last 3 s, whom no earlier answer has
        accounted for."""
        now = kin.oom_kills()
        short = now > self._oom_kills[0]
        if short:
            self._oom_kills.clear()
            self._oom_kills.append(now)
        return short

    def _exit(self, _header: wire.Header, _payload: bytes) -> None:
        """The agent waits for the end of the connection before it starts another: our socket must
        be gone by then."""
        self._replaced = True
        self._socket.unlink(missing_ok=True)
        self._end_all()
        if self._agent:
            self._agent.close()

    # ── the agent ──

    def _meet_agent(self) -> wire.Connection:
        agent = wire.Connection(self._take, before_write=self._journal.flush)
        if self._agent:
            self._loop.call_soon(agent.close)
            return agent
        self._agent, self._greeted = agent, False
        agent.ended.add_done_callback(self._agent_left)
        return agent

    def _agent_left(self, ended: "asyncio.Future[None]") -> None:
        self._agent = None
        if ended.exception():
            print(
                f"the agent's connection ended: {ended.exception()!r}", file=sys.stderr, flush=True
            )
        if not self._keep:
            self._end_all()

    def _take(self, header: wire.Header, payload: bytes) -> None:
        """What is asked for one job and throws ends that job; the agent and the other jobs go
        on."""
        op = self._ops.get(header["op"])
        if op is None:
            return
        try:
            op(header, payload)
        except Exception as error:
            job = self._jobs.get(header.get("lease", 0))
            if job is not None:
                self._fail(header["lease"], job, error)
            elif header["op"] == "start":
                traceback.print_exception(error, file=sys.stderr)
                result = _not_begun(f"the worker could not begin the job: {error!r}", 0)
                self._send("ended", lease=header["lease"], result=result)
            else:
                raise

    def _fail(self, lease: int, job: Job, error: Exception) -> None:
        if job.process:
            job.process.fail(error)
        elif job.result is None:
            traceback.print_exception(error, file=sys.stderr)
            words = f"the worker could not begin the job: {error!r}"
            self._ended(lease, job, _not_begun(words, job.tape.next_seq))
        else:
            traceback.print_exception(error, file=sys.stderr)

    def _told_by_thread(self, words: str) -> None:
        """A warning for whoever looks after this host: in the agent's log, and in ours."""
        print(words, file=sys.stderr, flush=True)
        self._loop.call_soon_threadsafe(functools.partial(self._send, "warning", words=words))

    def _send(self, op: str, payload: bytes = b"", **header: Any) -> None:
        if self._agent and self._greeted:
            self._agent.send(op, payload, **header)

    def _hello(self, header: wire.Header, _: bytes) -> None:
        self._greeted = True
        self._keep = header.get("keep", self._keep)
        jobs = [
            {
                key: job.start.get(key)
                for key in (
                    "lease",
                    "job_id",
                    "attempt",
                    "correlation_id",
                    "actor",
                    "started_us",
                    "spawned",
                )
            }
            | {"result": job.result, "acked": job.tape.acked}
            for job in self._jobs.values()
        ]
        for job in self._jobs.values():
            job.next_to_send, job.sent_bytes, job.sizes = (
                1 << 62,
                0,
                {},
            )  # until the agent says from where
        self._send(
            "hello",
            version=wire.VERSION,
            release=hodei_worker.__version__,
            jobs=jobs,
            settings={
                "job_user": self._user.name if self._user else None,
                "log_limit": self._log_limit,
                "path": os.environ.get("PATH"),
                "release": hodei_worker.__version__,
                "version": wire.VERSION,
            },
        )

    def _start(self, header: wire.Header, payload: bytes) -> None:
        lease = header["lease"]
        if lease in self._jobs or self._over.is_set():
            return
        start = header | {"started_us": time.time_ns() // 1000}
        try:
            start["spec"] = spec.read(payload)
        except spec.Unusable as error:
            job = self._jobs[lease] = Job(start, self._spool.tape(lease))
            self._journal.started(start)
            words = f"the worker cannot use what the database has: {error}"
            self._ended(lease, job, _not_begun(words, 0))
            return
        if self._cgroups:
            start["cgroup"] = str(self._cgroups.ours)
        job = self._jobs[lease] = Job(start, self._spool.tape(lease))
        self._journal.started(start)
        ears = Ears(
            wrote=functools.partial(self._pump, lease, job),
            started=functools.partial(self._started, lease, job),
            stopping=functools.partial(self._send, "stopping", lease=lease),
            ended=functools.partial(self._ended, lease, job),
            seen=functools.partial(self._seen, lease),
        )
        job.process = JobProcess(start, self._host, job.tape, ears)
        if not self._to_begin:
            self._loop.call_soon(self._begin)
        self._to_begin.append(job.process)

    def _begin(self) -> None:
        """A few, behind the write to the journal that names them; the rest in the next turn:
        meanwhile others end, and make room."""
        self._journal.flush()
        for _ in range(min(BEGIN_AT_ONCE, len(self._to_begin))):
            self._to_begin.popleft().begin()
        if self._to_begin:
            self._loop.call_soon(self._begin)

    def _started(self, lease: int, job: Job) -> None:
        """Of interest only where there is a limit to it."""
        if job.start["spec"].get("start_timeout"):
            job.start["spawned"] = True
            self._send("started", lease=lease)

    def _seen(self, lease: int, processes: dict[int, int]) -> None:
        self._journal.seen(lease, processes)
        self._loop.call_soon(self._journal.flush)

    def _ended(self, lease: int, job: Job, result: Result) -> None:
        job.process, job.result = None, result
        job.start.pop("spec", None)
        self._journal.ended(lease, result)
        self._send("ended", lease=lease, result=result)

    def _stop(self, header: wire.Header, _: bytes) -> None:
        job = self._jobs.get(header["lease"])
        if job and job.process:
            job.process.stop(
                {key: header[key] for key in ("outcome", "reason", "message")}, header.get("grace")
            )

    def _read(self, header: wire.Header, _: bytes) -> None:
        if job := self._jobs.get(header["lease"]):
            job.tape.ack(header["seq"])
            job.next_to_send, job.sent_bytes, job.sizes = max(header["seq"], job.tape.acked), 0, {}
            job.reading = header.get("reading", 0)
            self._pump(header["lease"], job)

    def _ack(self, header: wire.Header, _: bytes) -> None:
        if job := self._jobs.get(header["lease"]):
            for seq in range(job.tape.acked, header["seq"]):
                job.sent_bytes -= job.sizes.pop(seq, 0)
            job.tape.ack(header["seq"])
            if job.process:
                job.process.output.resume()
            self._pump(header["lease"], job)

    def _pump(self, lease: int, job: Job, fresh: Chunk | None = None) -> None:
        """Sends what the window allows; a chunk that was written just now need not be read back."""
        while self._agent and self._greeted and job.sent_bytes < WINDOW_BYTES:
            chunk = (
                fresh
                if fresh and fresh.seq == job.next_to_send
                else job.tape.read(job.next_to_send)
            )
            if chunk is None:
                return
            job.next_to_send += 1
            job.sent_bytes += len(chunk.data)
            job.sizes[chunk.seq] = len(chunk.data)
            self._send(
                "chunk",
                chunk.data,
                lease=lease,
                seq=chunk.seq,
                stream=chunk.stream,
                offset=chunk.offset,
                line=chunk.line,
                read_us=chunk.read_us,
                reading=job.reading,
            )

    def _purge(self, header: wire.Header, _: bytes) -> None:
        """Of a supervisor that died and could not even write its journal."""
        if header["lease"] not in self._jobs:
            kin.send(kin.of_attempt(header["job_id"], header["lease"]), signal.SIGKILL)

    def _forget(self, header: wire.Header, _: bytes) -> None:
        job = self._jobs.get(header["lease"])
        if job and job.result is not None:
            del self._jobs[header["lease"]]
            job.tape.close()
            self._journal.forgotten(header["lease"])
            self._loop.call_soon(self._journal.flush)


def _not_begun(words: str, chunks: int) -> Result:
    """Of a job that has no process, and so many chunks of a log."""
    now_us = time.time_ns() // 1000
    return failed("INTERNAL", words) | {"run_us": 1, "log_chunks": chunks, "started_us": now_us}
