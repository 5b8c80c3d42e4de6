"""One job in a container, from the pull of its image to its result: an Attempt (executor.py)."""

import asyncio
import time
from typing import Any

from hodei.protocol.words import Reason
from hodei_worker.containers import create, position
from hodei_worker.containers.engine import EngineError, EngineGone
from hodei_worker.containers.fate import Fate
from hodei_worker.containers.log import Log, Unreadable
from hodei_worker.containers.parts import Parts
from hodei_worker.containers.starting import Refused, Starting
from hodei_worker.containers.state import REMOVED, Ended
from hodei_worker.containers.tasks import log_error
from hodei_worker.containers.usage import Usage
from hodei_worker.supervisor import spec
from hodei_worker.supervisor.executor import Listener, Start
from hodei_worker.supervisor.guard import Guard, Timers
from hodei_worker.supervisor.kept import smaller_limit
from hodei_worker.supervisor.result import Cause, Result, failed, lost
from hodei_worker.supervisor.secrets import Values
from hodei_worker.supervisor.spool import JobSpool

KILLED_WITHIN_S = 10.0
"""Seconds after KILL; a container that runs then is named in the result and left to the remover."""

DISK_FULL = "the worker's disk is full: the job's log cannot be kept"
LOG_GONE = "the end of the log may be missing: the Docker Engine no longer has it"
CHILD_KILLED = "the kernel killed a process of this job: its memory limit was reached"


class ContainerAttempt:
    """One attempt of a job, in one container. It fulfils executor.Attempt."""

    def __init__(
        self,
        start: Start,
        parts: Parts,
        job_spool: JobSpool,
        listener: Listener,
        *,
        waits: bool = False,
    ) -> None:
        """`waits`: it goes on, and the values of its secrets come later."""
        self._start = start
        self._spec = start.spec
        self._parts = parts
        self._listener = listener
        self._guard = Guard(self.fail)
        self._timers = Timers(self._guard)
        self._name = create.name(start, parts.settings.owner)
        limit = smaller_limit(int(self._spec.get("log_limit", 0)), parts.settings.log_limit)
        self._log = Log(
            parts.engine,
            job_spool,
            limit,
            parts.positions / str(start.lease),
            self._guard,
            listener.on_chunk,
            self._on_disk_full,
            _to_mask(start) if start.secrets or waits else None,
        )
        self._begun = time.monotonic()
        self._starting = Starting(parts, start, self._name, self._log.notice)
        self._start_task: asyncio.Task[Any] | None = None
        self._stop_signal = ""
        self._running = False
        self._ended = asyncio.Event()  # the container has
        self._given_up = asyncio.Event()
        self._cause: Cause | None = None
        self._stop_grace_s = 0.0  # set with a cause by `stop`
        self._fate = Fate(parts.engine, self._name)
        self._usage = Usage()
        self._unreadable = ""  # why its log cannot be read
        self._finished = False

    # ── the contract ──

    def begin(self) -> None:
        self._parts.tasks.start(self._begin(), self._fail_now)

    def go_on(self) -> None:
        self._parts.tasks.start(self._go_on(), self._fail_now)

    def stop(self, cause: Cause, grace_s: float | None = None) -> None:
        if self._cause or self._finished or self._ended.is_set():
            return
        self._cause = cause
        self._stop_grace_s = spec.grace_s(self._spec) if grace_s is None else grace_s
        if self._running:
            self._begin_to_end()
        elif self._start_task:
            self._start_task.cancel()

    def give_secrets(self, values: Values) -> None:
        if not self._finished:
            self._log.give_secrets(values)

    def resume(self) -> None:
        if not self._finished:
            self._log.resume()

    def check(self) -> None:
        """Does nothing: the tasks of an attempt see each change by themselves."""

    def fail(self, error: Exception) -> None:
        log_error(error)
        words = f"the worker could not go on with the job: {error!r}"
        self._give_up(failed(Reason.INTERNAL, words))

    def _fail_now(self, error: Exception) -> None:
        """An error after which nobody waits for the end of the container."""
        self.fail(error)
        self._finish(None)

    # ── from the start to the end ──

    async def _begin(self) -> None:
        ran = False
        if self._cause is None:
            self._start_task = self._parts.tasks.start(self._start_container(), self.fail)
            await asyncio.wait([self._start_task])
            ran = not self._start_task.cancelled() and bool(self._start_task.result())
        if ran:
            self._on_started(time.time())
            await self._watch()
        else:
            self._finish(None)

    async def _start_container(self) -> bool:
        """Returns whether it runs. If not, the cause says why."""
        limit_s = self._spec.get("start_timeout")
        try:
            async with asyncio.timeout(limit_s):
                self._stop_signal = await self._starting.run()
        except TimeoutError:
            self._cause = failed(Reason.TIMEOUT, f"did not start within {limit_s:g} s")
        except Refused as refused:
            self._cause = refused.cause
        except EngineGone as error:
            self._cause = lost(f"its container was not started: {error}")
        else:
            return True
        return False

    def _on_started(self, started: float) -> None:
        """`started`: when the container did, in seconds since 1970."""
        self._running = True
        self._log.begin()
        self._listener.on_started()
        if timeout_s := self._spec.get("timeout"):
            words = f"ran longer than its time-out of {timeout_s:g} s"
            left_s = max(0.0, started + timeout_s - time.time())
            self._timers.call_after(left_s, self.stop, failed(Reason.TIMEOUT, words))
        if self._cause:  # a stop that came when the container had just been started
            self._begin_to_end()
        if silence_s := self._spec.get("silence_timeout"):
            self._timers.call_after(silence_s, self._watch_silence, silence_s)

    def _watch_silence(self, limit_s: float) -> None:
        if (left_s := limit_s - self._log.silence_s()) > 0:
            self._timers.call_after(left_s, self._watch_silence, limit_s)
            return
        words = f"wrote nothing for longer than its silence_timeout of {limit_s:g} s"
        self.stop(failed(Reason.TIMEOUT, words))

    async def _watch(self) -> None:
        """Follows the log and waits for the end, then finishes."""
        run = self._parts.tasks.start
        log = run(self._read_log(), self.fail)
        usage = run(self._usage.sample(self._parts.engine, self._name))
        end = run(self._fate.await_end(lambda: self._cause is not None), self.fail)
        given_up = run(self._given_up.wait())
        await asyncio.wait([end, given_up], return_when=asyncio.FIRST_COMPLETED)
        usage.cancel()
        self._ended.set()
        self._timers.cancel()
        await asyncio.wait([log, given_up], return_when=asyncio.FIRST_COMPLETED)
        for task in (log, end, given_up):
            task.cancel()
        self._finish(end.result() if end.done() and not end.cancelled() else None)

    async def _read_log(self) -> None:
        try:
            await self._log.read_all(self._name, self._ended)
        except Unreadable as error:
            self._unreadable = f"its log cannot be read: {error}"
            await self._signal("SIGKILL")

    # ── an attempt of an earlier process ──

    async def _go_on(self) -> None:
        self._starting.asked = self._starting.created = True
        self._begun -= max(0.0, time.time() - self._start.started_us / 1e6)
        self._start_task = self._parts.tasks.start(self._fate.ask_state())
        await asyncio.wait([self._start_task])
        state = None if self._start_task.cancelled() else self._start_task.result()
        if self._cause and state is None:
            self._finish(None)
        elif state is None and self._log.position.started:
            self._running = True
            self._finish(None)
        elif state is None or not state.started:
            died = lost("the worker's process for containers died while it started this one")
            self._cause = self._cause or died
            self._finish(None)
        else:
            term = self._spec.get("term")
            self._stop_signal = f"SIG{term}" if term else state.stop_signal
            self._on_started(state.started)
            await self._watch()

    # ── stop and end ──

    def _begin_to_end(self) -> None:
        self._listener.on_stopping()
        self._parts.tasks.start(self._end(self._stop_grace_s), self.fail)

    async def _end(self, grace_s: float) -> None:
        """Sends the stop signal, and KILL after the grace."""
        if grace_s > 0:
            await self._signal(self._stop_signal)
            await self._wait_for_end(grace_s)
        deadline = time.monotonic() + KILLED_WITHIN_S
        while not self._ended.is_set() and time.monotonic() < deadline:
            await self._signal("SIGKILL")
            await self._wait_for_end(1.0)
        if not self._ended.is_set():
            self._give_up(None)

    async def _signal(self, number: str) -> None:
        try:
            path = f"/containers/{self._name}/kill"
            await self._parts.engine.call("POST", path, query={"signal": number})
        except (EngineError, EngineGone):
            return  # it has ended, or KILL follows

    async def _wait_for_end(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return

    def _give_up(self, cause: Cause | None) -> None:
        """Ends the attempt without waiting for the container, which is removed by force."""
        if cause and (self._cause is None or cause.reason == Reason.INTERNAL):
            self._cause = cause
        if self._start_task and not self._running:
            self._start_task.cancel()
        self._given_up.set()

    def _on_disk_full(self) -> None:
        self.stop(failed(Reason.LIMIT_EXCEEDED, DISK_FULL))

    def _finish(self, ended: Ended | None) -> None:
        if self._finished:
            return
        self._finished = True
        self._timers.cancel()
        if ended and ended.out_of_memory and ended.exit_code == 0:
            self._guard(self._log.notice, CHILD_KILLED)
        if end_is_missing := self._end_of_log_is_missing(ended):
            self._guard(self._log.notice, end_is_missing)
        self._guard(self._log.close)
        result = self._result(ended)
        if end_is_missing:  # servers know by the count that some of the log is missing
            result.log_chunks = (result.spooled or 0) + 1
        self._forget()
        self._listener.on_ended(result)
        self._parts.tasks.start(position.remove(self._parts.positions / str(self._start.lease)))
        if self._running or self._starting.asked:
            may_come = not (self._running or self._starting.created)
            self._parts.remover.remove(self._name, may_come=may_come)

    def _end_of_log_is_missing(self, ended: Ended | None) -> str:
        """Returns why the end of the log could not be read; empty: it was. It is removed with the
        container, and an engine that is away loses what is written."""
        if self._unreadable and ended and not ended.removing:
            return self._unreadable
        gone = ended is None or ended.removing or ended.unseen
        return LOG_GONE if self._unreadable or (self._running and gone) else ""

    def _forget(self) -> None:
        """Breaks the cycles of references, so that it is freed at once."""
        del self._guard, self._timers, self._log, self._starting.tell

    def _result(self, ended: Ended | None) -> Result:
        gone = failed(Reason.INTERNAL, REMOVED)
        result = ended.result(self._log.first_error) if ended else Result.of(gone)
        if self._unreadable and ended and not ended.removing:
            result.set_cause(failed(Reason.INTERNAL, self._unreadable))
        if self._cause:
            result.set_cause(self._cause)
        if self._given_up.is_set() and not ended and self._running:
            result.add_message("its container is removed by force")
        result.message = self._log.masked(result.message)
        self._usage.add_to(result)
        result.run_us = max(1, int((time.monotonic() - self._begun) * 1e6))
        result.started_us = self._start.started_us
        self._log.kept.add_to(result)
        return result


def _to_mask(start: Start) -> Values:
    """Returns the values of the job's secrets; of a registry's login the password by itself, too."""
    login = start.secrets.get(start.spec.get("registry_secret", ""), "")
    password = login.partition(":")[2]
    return Values({**start.secrets, ":": password} if password else start.secrets)
