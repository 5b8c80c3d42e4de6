"""One job's process, from its start to its result: an Attempt (executor.py).

It has its own session. A stop asks its processes to end, and sends KILL after the grace."""

import asyncio
import os
import signal
import sys
import time
import traceback

from hodei.protocol.words import Reason
from hodei_worker.supervisor import kin, spec
from hodei_worker.supervisor.executor import Listener, Start
from hodei_worker.supervisor.guard import Guard, Timers
from hodei_worker.supervisor.kept import smaller_limit
from hodei_worker.supervisor.masking import Masks
from hodei_worker.supervisor.members import Attributed, Contained, Members
from hodei_worker.supervisor.output import Output
from hodei_worker.supervisor.place import Place
from hodei_worker.supervisor.prepare import StartFailed, prepare
from hodei_worker.supervisor.result import Cause, Result, failed
from hodei_worker.supervisor.secrets import Values
from hodei_worker.supervisor.shared import Shared
from hodei_worker.supervisor.spawn import Exit, Usage
from hodei_worker.supervisor.spool import JobSpool
from hodei_worker.supervisor.starting import Starting, Stop
from hodei_worker.supervisor.verdict import DISK_FULL, name_processes, verdict

UNKILLABLE_S = 10.0
"""Seconds after the first KILL. A process that lives then is named in the result and given up."""

KILL_AGAIN_S = 0.05
DRAIN_S = 2.0
"""Seconds that a pipe may stay open after all processes that we know of have ended."""


class JobProcess:
    def __init__(self, start: Start, shared: Shared, spool: JobSpool, listener: Listener) -> None:
        self._start = start
        self._spec = start.spec
        self._grace_s = spec.grace_s(start.spec)
        self._shared = shared
        self._listener = listener
        self._place = Place(shared.folders, str(start.lease))
        self._loop = asyncio.get_running_loop()
        self._guard = Guard(self.fail)
        self._timers = Timers(self._guard)
        self._call_after = self._timers.call_after
        limit = smaller_limit(int(self._spec.get("log_limit", 0)), shared.log_limit)
        masks = Masks(start.secrets.values()) if start.secrets else None
        calls = (listener.on_chunk, self._on_disk_full, self._on_output_ended)
        self.output = Output(shared.poller, spool, limit, self._guard, *calls, masks)
        self._starting = Starting(start, shared, self._guard, self._call_after, self)
        self._begun = time.monotonic()
        self._pid = 0
        self._pidfd = 0  # only if its launcher died: it is our child then
        self._members: Members | None = None  # set when it is started
        self._exit: Exit | None = None
        self._cause: Cause | None = None  # why we stopped it, or could not start it
        self._kill_at = 0.0  # end of the grace, by the loop's clock
        self._leftover_count = 0
        self._faulty = False  # an action of ours raised: it is killed, and ends as INTERNAL
        self._unkillable: set[int] = set()
        self._doubtful: set[int] = set()  # this job's or another's; they are not killed
        self._waits_for_output = False  # all its processes have ended, but a pipe is still open
        self._finished = False

    def begin(self) -> None:
        self._guard(self._begin)

    def _begin(self) -> None:
        try:
            prepared = prepare(self._place, self._start)
            self._cause = self._cause or self._starting.limit(self._begun)
            if self._cause is None:
                self._starting.begin(prepared, self.output.make_pipes())
        except StartFailed as error:
            self._cause = failed(Reason.START_FAILED, str(error))
        if not self._finished and not self._starting.under_way:
            self._finish(0)

    def resume(self) -> None:
        if not self._finished:
            self._guard(self.output.resume)

    def give_secrets(self, values: Values) -> None:
        """It has them: no process outlives its supervisor."""

    def _finish(self, leftovers: int) -> None:
        """Takes every step, also if one before it has failed. Only the first call has an effect."""
        if self._finished:
            return
        self._finished = True
        self._timers.cancel()
        self._shared.main_pids.discard(self._pid)
        self._guard(self.output.close)
        self._guard(self._place.clear)
        self._guard(self._release)
        result = self._result(leftovers)
        self._forget()
        self._listener.on_ended(result)

    def _release(self) -> None:
        if self._members:
            self._doubtful = self._members.doubtful()
            self._members.release()

    def _result(self, leftovers: int) -> Result:
        result = verdict(self._exit, self._cause, self._shared.memory_was_short)
        result.leftover_processes = leftovers
        result.leftover_unknown = len(self._doubtful)
        result.run_us = max(1, int((time.monotonic() - self._begun) * 1e6))
        result.started_us = self._start.started_us
        self.output.kept.add_to(result)
        result.add_message(name_processes("could not be killed", self._unkillable))
        words = "left over, by this job or another one"
        result.add_message(name_processes(words, self._doubtful))
        return result

    def _forget(self) -> None:
        """Breaks the cycles of references, so that it is freed at once: to collect them took a tenth
        of the supervisor's time."""
        del self._guard, self._timers, self._call_after, self._starting, self.output

    # ── a fault of ours ──

    def fail(self, error: Exception) -> None:
        """Ends the job in the simplest way: KILL to its pid and group, and the result when the
        process is dead. The job's other processes are not searched for."""
        traceback.print_exception(error, file=sys.stderr)
        sys.stderr.flush()
        words = f"the worker could not go on with the job: {error!r}"
        self._cause = failed(Reason.INTERNAL, words)
        if self._faulty or self._finished:
            return
        self._faulty = True
        self._kill_at = self._loop.time()
        if self._starting.under_way:
            self._starting.stop(Stop(self._cause, 0.0))
        else:
            self._timers.cancel()
            self._kill_faulty()

    def _kill_faulty(self) -> None:
        """Repeats until the process is dead, or for UNKILLABLE_S."""
        if self._finished:
            return
        pid = self._pid
        if pid and self._exit is None:
            kin.send_to_group(pid, signal.SIGKILL)
            kin.send_signal([pid], signal.SIGKILL)
            if self._pidfd:
                self._wait_for_exit()
            if self._exit is None and self._loop.time() < self._kill_at + UNKILLABLE_S:
                self._loop.call_later(0.05, self._guard, self._kill_faulty)
                return
        if isinstance(self._members, Contained):
            self._guard(self._members.send, signal.SIGKILL)
        self._guard(self._finish, 0)

    # ── start ──

    def on_not_started(self, cause: Cause, left: Members | None) -> None:
        self._cause, self._members = self._cause or cause, left
        self._finish(0)

    def on_ran(self, pid: int, status: int, usage: Usage, may_be_left: bool) -> None:
        self._pid, self._exit = pid, Exit(status, usage)
        self._cause = self._cause or self._starting.ended_because
        self._members = self._starting.members(pid) if may_be_left else None
        if not self._starting.ended_because:
            self._listener.on_started()
        self.on_ended(status, usage)
        if self._faulty:
            self._kill_faulty()

    def on_started(self, pid: int) -> None:
        self._pid, self._members = pid, self._starting.members(pid)
        self._shared.main_pids.add(pid)
        self.output.watch()
        if isinstance(self._members, Attributed):
            self._listener.on_processes(self._members.known)
        if self._faulty:
            self._kill_faulty()
            return
        self._listener.on_started()
        if timeout_s := self._spec.get("timeout"):
            words = f"ran longer than its time-out of {timeout_s:g} s"
            self._call_after(timeout_s, self.stop, failed(Reason.TIMEOUT, words))
        if silence_s := self._spec.get("silence_timeout"):
            self._call_after(silence_s, self._watch_silence, silence_s)
        if self._starting.stopped:
            self.stop(*self._starting.stopped)

    def _watch_silence(self, limit_s: float) -> None:
        if (left_s := limit_s - self.output.silence_s()) > 0:
            self._call_after(left_s, self._watch_silence, limit_s)
            return
        words = f"wrote nothing for longer than its silence_timeout of {limit_s:g} s"
        self.stop(failed(Reason.TIMEOUT, words))

    def on_orphaned(self) -> None:
        if self._exit is None and not self._finished:
            self._pidfd = os.pidfd_open(self._pid)
            self._shared.poller.watch(self._pidfd, self._guard.wrap(self._wait_for_exit))

    def _wait_for_exit(self) -> None:
        """Raises ChildProcessError if its launcher waited for it and died before it answered."""
        pid, status, usage = os.wait4(self._pid, os.WNOHANG)
        if pid:
            self._shared.poller.close(self._pidfd)
            self._pidfd = 0
            self.on_ended(status, Usage(usage.ru_maxrss, usage.ru_utime, usage.ru_stime))

    def on_ended(self, status: int, usage: Usage) -> None:
        self._exit = Exit(status, usage)
        self._shared.main_pids.discard(self._pid)
        if self._finished or self._faulty:
            return
        self._timers.cancel()
        if self._leftovers():
            self._shared.group.create_task(self._end_leftovers())
        else:
            self._await_output(0)

    def _has_ended(self) -> bool:
        """Reads answers of launchers first: the end may have been reported already."""
        self._shared.launchers.read_answers()
        return self._exit is not None

    def _await_output(self, leftovers: int) -> None:
        if self._finished:
            return
        self._waits_for_output, self._leftover_count = True, leftovers
        self.output.drain()
        if not self._finished and self.output.open:
            self.output.watch()
            self._call_after(DRAIN_S, self._finish, leftovers)
        else:
            self._finish(leftovers)

    def _on_output_ended(self) -> None:
        if self._waits_for_output:
            self._finish(self._leftover_count)

    # ── stop ──

    def stop(self, cause: Cause, grace_s: float | None = None) -> None:
        """Sends the job's stop signal, and KILL after the grace. The first cause counts."""
        if self._finished:
            return
        if self._starting.under_way:
            self._starting.stop(Stop(cause, grace_s))
            return
        if self._cause is not None or self._has_ended():
            return
        self._cause = cause
        if not self._pid:
            return  # not started yet; _begin sees the cause and does not start it
        self._listener.on_stopping()
        grace = self._grace_s if grace_s is None else grace_s
        self._kill_at = self._loop.time() + grace
        self._call_after(grace, self._kill)
        if grace > 0:
            self._send_signal(spec.stop_signal(self._spec))

    def check(self) -> None:
        """Remembers the descendants of a job without a cgroup, while their parents live."""
        if not self._finished:
            self._guard(self._check)

    def _check(self) -> None:
        if isinstance(self._members, Attributed) and self._members.remember_descendants():
            self._listener.on_processes(self._members.known)

    def _kill(self) -> None:
        """Repeats until it has ended, or for UNKILLABLE_S: a new fork may have been missed."""
        self._send_signal(signal.SIGKILL)
        if self._has_ended():
            return
        if self._loop.time() < self._kill_at + UNKILLABLE_S:
            self._call_after(KILL_AGAIN_S, self._kill)
            return
        self._unkillable = self._members.all() if self._members else set()
        self._finish(0)

    def _send_signal(self, number: signal.Signals) -> None:
        if self._members:
            self._members.send(number)

    # ── afterwards ──

    def _leftovers(self) -> set[int]:
        return self._members.leftovers() if self._members else set()

    async def _end_leftovers(self) -> None:
        """Sends TERM to the processes that are left, and KILL after the grace (of a stopped job:
        after the rest of it). The result counts them if the job ended by itself."""
        try:
            self.output.watch()
            left = self._leftovers()
            found = 0 if self._cause else len(left)
            deadline = self._kill_at if self._cause else self._loop.time() + self._grace_s
            if not self._cause:
                self._send_signal(signal.SIGTERM)
            while left and self._loop.time() < deadline + UNKILLABLE_S:
                if self._loop.time() >= deadline:
                    self._send_signal(signal.SIGKILL)
                await asyncio.sleep(0.02)
                self._shared.reap_orphans()
                left = self._leftovers()
            self._unkillable = left
            self._await_output(found)
        except Exception as error:  # noqa: BLE001  a fault of ours ends this job only
            self.fail(error)

    def _on_disk_full(self) -> None:
        self.stop(failed(Reason.LIMIT_EXCEEDED, DISK_FULL))
