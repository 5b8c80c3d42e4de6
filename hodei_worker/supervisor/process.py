"""One job's process, from its spawn to its result.

In its own session; its end is seen through a pidfd and only its own pid is waited for. Whoever stops it sends TERM to the group and to what
escaped it, then KILL after the grace. Whatever an action of it throws ends this job as INTERNAL,
after a KILL, and no other.
"""

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.output import Output
from hodei_worker.supervisor.place import Folders, Place
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.prepare import Prepared, StartFailed, prepare, why_not
from hodei_worker.supervisor.spawner import Spawn, Spawner
from hodei_worker.supervisor.spool import Chunk, Tape

GRACE_S = 10.0
UNKILLABLE_S = 10.0
"""After the first KILL. What lives then is in an uninterruptible sleep or another user's: it is
named, and no longer waited for."""

DRAIN_S = 2.0
"""For a pipe to come to its end after everything that we know of has ended."""

Result = dict[str, Any]


@dataclass
class Host:
    """What all jobs of a supervisor share."""

    poller: Poller
    folders: Folders
    log_limit: int
    group: asyncio.TaskGroup
    memory_was_short: Callable[[], bool]  # the kernel has killed somebody just now
    spawner: Spawner
    newcomers: set[int] = field(default_factory=set)  # processes that the kernel has not been told to take first when memory is short
    # jobs' own processes: their exit codes are waited for by their jobs alone
    mains: set[int] = field(default_factory=set)


@dataclass
class Ears:
    """Who hears of a job's life."""

    wrote: Callable[[Chunk], None]
    started: Callable[[], None]
    stopping: Callable[[], None]
    ended: Callable[[Result], None]


class JobProcess:
    """`begin` once; `stop` at any time: the process's own end before TERM wins. What it comes to is told to its ears, once."""

    def __init__(self, start: dict[str, Any], host: Host, tape: Tape, ears: Ears) -> None:
        self._start = start
        self._spec = start["spec"]
        self._host = host
        self._ears = ears
        self._place = Place(host.folders, str(start["lease"]))
        self._loop = asyncio.get_running_loop()
        self._guard = Guard(self.fail)
        limit = int(self._spec.get("log_limit", host.log_limit))
        self.output = Output(
            host.poller, tape, limit, self._guard, ears.wrote, self._disk_full, self._output_ended
        )  # fmt: skip
        self._tape = tape
        self._begun = time.monotonic()
        self._pid = 0
        self._pidfd = 0
        self._spawning = False
        self._stop_when_spawned: tuple[Result, float | None] | None = None
        self._exit: tuple[int, Any] | None = None
        self._cause: Result | None = None  # why we stopped it
        self._kill_at = 0.0  # end of the grace after that, by the loop's clock
        self._timers: list[asyncio.TimerHandle] = []
        self._leftover_count = 0
        self._faulty = False  # an action of ours threw: it is killed, and ends as INTERNAL
        self._unkillable: set[int] = set()
        self._quiet = False  # its process has ended and left nobody: only the pipes' ends are waited for
        self._over = False

    def begin(self) -> None:
        self._guard(self._begin)

    def _begin(self) -> None:
        try:
            prepared = prepare(self._place, self._start)
            if (limit_s := self._spec.get("start_timeout")) and time.monotonic() - self._begun > limit_s:
                self._cause = {"outcome": "FAILED", "reason": "TIMEOUT", "message": f"did not start within {limit_s:g} s"}
            if self._cause is None:
                self._spawn(prepared)
        except StartFailed as error:
            self._cause = {"outcome": "FAILED", "reason": "START_FAILED", "message": str(error)}
        if not self._spawning:
            self._end(0)

    def _end(self, leftovers: int) -> None:
        """Each step is taken, whatever became of the one before."""
        if self._over:
            return
        self._over = True
        self._cancel_timers()
        self._host.mains.discard(self._pid)
        self._guard(self.output.close)
        self._guard(self._place.clear)
        result = self._result()
        result["run_us"] = max(1, int((time.monotonic() - self._begun) * 1e6))
        result["started_us"] = self._start["started_us"]
        result["log_chunks"] = self._tape.next_seq
        result["log_bytes"] = self.output.kept_bytes
        result["log_dropped_bytes"] = self.output.dropped_bytes
        result["leftover_processes"] = leftovers
        self._ears.ended(result)

    # ── a fault of ours ──

    def fail(self, error: Exception) -> None:
        """What is simplest is done: KILL by pid and group, no look at anything else, and an end
        when it is dead."""
        traceback.print_exception(error, file=sys.stderr)
        sys.stderr.flush()
        words = f"the worker could not go on with the job: {error!r}"
        self._cause = {"outcome": "FAILED", "reason": "INTERNAL", "message": words}
        if self._faulty or self._over:
            return
        self._faulty = True
        self._cancel_timers()
        self._kill_at = self._loop.time()
        if not self._spawning:
            self._end_faulty()

    def _end_faulty(self) -> None:
        """Until it is dead, or cannot be killed."""
        pid = self._pid
        if pid and self._exit is None:
            kin.send_to_group(pid, signal.SIGKILL)
            kin.send([pid], signal.SIGKILL)
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if not ended and self._loop.time() < self._kill_at + UNKILLABLE_S:
                self._loop.call_later(0.05, self._end_faulty)
                return
            if ended:
                self._exit = (status, usage)
                self._guard(self._host.poller.close, self._pidfd)
        self._guard(self._end, 0)

    # ── start ──

    def _spawn(self, prepared: Prepared) -> None:
        theirs = self._theirs = self.output.pipes()
        spawn = Spawn(prepared.program, prepared.argv, prepared.environment, prepared.workdir, prepared.stdin, theirs[1], theirs[2])
        try:
            self._host.spawner.spawn(spawn, self._guard.over(self._spawned, prepared))
        except Exception:
            self._close_theirs()
            raise
        self._spawning = True

    def _close_theirs(self) -> None:
        for fd in self._theirs.values():
            os.close(fd)

    def _spawned(self, prepared: Prepared, pid: int, error: int) -> None:
        self._spawning = False
        self._close_theirs()
        if error:
            failed = why_not(prepared, OSError(error, os.strerror(error)))
            self._cause = {"outcome": "FAILED", "reason": "START_FAILED", "message": str(failed)}
            return self._end(0)
        self._pid = pid
        self._host.mains.add(pid)
        self._pidfd = os.pidfd_open(pid)
        if self._faulty:
            return self._end_faulty()
        self._host.newcomers.add(pid)
        self._host.poller.watch(self._pidfd, self._guard.over(self._reap))
        self._ears.started()
        if timeout_s := self._spec.get("timeout"):
            words = f"ran longer than its time-out of {timeout_s:g} s"
            cause = {"outcome": "FAILED", "reason": "TIMEOUT", "message": words}
            self._after(timeout_s, self.stop, cause)
        if silence_s := self._spec.get("silence_timeout"):
            self._after(silence_s, self._watch_silence, silence_s)
        if self._stop_when_spawned:
            cause, grace_s = self._stop_when_spawned
            self.stop(cause, grace_s)
        return None

    def _after(self, seconds: float, action: Callable[..., object], *arguments: Any) -> None:
        self._timers.append(self._loop.call_later(seconds, self._guard, action, *arguments))

    def _watch_silence(self, limit_s: float) -> None:
        """A job whose pipes we do not read (its spool is full) is not to blame."""
        left_s = self.output.heard_at + limit_s - self._loop.time()
        if self.output.paused or left_s > 0:
            self._after(limit_s if self.output.paused else left_s, self._watch_silence, limit_s)
            return
        words = f"wrote nothing for longer than its silence_timeout of {limit_s:g} s"
        self.stop({"outcome": "FAILED", "reason": "TIMEOUT", "message": words})

    def _reap(self) -> bool:
        """True: it has ended, and its exit code is known."""
        if self._exit is None and self._pid and not self._faulty:
            pid, status, usage = os.wait4(self._pid, os.WNOHANG)
            if pid:
                self._exit = (status, usage)
                self._host.newcomers.discard(self._pid)
                self._host.poller.close(self._pidfd)
                self._wind_down()
        return self._exit is not None

    def _wind_down(self) -> None:
        """Nearly always nobody is left and the pipes are at their end."""
        self._cancel_timers()
        if self._leftovers():
            self._host.group.create_task(self._end_leftovers())
        else:
            self._await_output(0)

    def _await_output(self, leftovers: int) -> None:
        self._quiet, self._leftover_count = True, leftovers
        if self.output.open:
            self._after(DRAIN_S, self._end, leftovers)
        else:
            self._end(leftovers)

    def _output_ended(self) -> None:
        if self._quiet:
            self._end(self._leftover_count)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # ── stop ──

    def stop(self, cause: Result, grace_s: float | None = None) -> None:
        """TERM to the whole family, KILL after the grace. The first cause stays."""
        if self._spawning:
            self._stop_when_spawned = self._stop_when_spawned or (cause, grace_s)
            return
        if self._cause is not None or self._reap():
            return
        self._cause = cause
        if not self._pid:
            return  # not started yet: it will not be
        self._ears.stopping()
        grace = self._grace_s if grace_s is None else grace_s
        self._kill_at = self._loop.time() + grace
        self._after(grace, self._kill)
        if grace > 0:
            self._signal(signal.SIGTERM)

    @property
    def _grace_s(self) -> float:
        return float(self._spec.get("grace", GRACE_S))

    def _kill(self) -> None:
        """Twice, as a fork may race with the first look; and again until it has ended, or cannot be
        killed."""
        self._signal(signal.SIGKILL)
        self._signal(signal.SIGKILL)
        if self._reap():
            return
        if self._loop.time() < self._kill_at + UNKILLABLE_S:
            self._after(0.5, self._kill)
            return
        self._unkillable = self._all()
        self._end(0)

    def _all(self) -> set[int]:
        return kin.family([self._pid]) | kin.of_attempt(self._start["job_id"], self._start["lease"])

    def _signal(self, number: signal.Signals) -> None:
        """To the group at once, so that its processes hear it together; then to what has left
        it."""
        escaped = self._all()
        kin.send_to_group(self._pid, number)
        kin.send({pid for pid in escaped if _group(pid) != self._pid}, number)

    # ── afterwards ──

    def _leftovers(self) -> set[int]:
        """What our job left behind: its group, and orphans that became our children and carry its lease."""
        strangers = kin.orphans()
        if not strangers:
            return set()  # nearly always
        mine = [p for p in strangers if _group(p) == self._pid or kin.belongs(p, self._start["job_id"], self._start["lease"])]
        return kin.family(mine)

    async def _end_leftovers(self) -> None:
        """TERM, the job's grace (what was stopped: the rest of it), KILL; counted are those there
        were when it ended by itself."""
        try:
            left = self._leftovers()
            found = 0 if self._cause else len(left)
            deadline = self._kill_at if self._cause else self._loop.time() + self._grace_s
            if not self._cause:
                kin.send(left, signal.SIGTERM)
            while left:
                if self._loop.time() >= deadline:
                    kin.send(left, signal.SIGKILL)
                await asyncio.sleep(0.02)
                kin.reap_orphans(self._host.mains)
                left = self._leftovers()
                if self._loop.time() > deadline + UNKILLABLE_S:
                    break
            self._unkillable = left
            kin.reap_orphans(self._host.mains)
            self._await_output(found)
        except Exception as error:  # noqa: BLE001  a fault of ours ends this job only
            self.fail(error)

    def _disk_full(self) -> None:
        self.stop({"outcome": "FAILED", "reason": "LIMIT_EXCEEDED", "message": "the worker's disk is full: the job's log cannot be kept"})

    def _result(self) -> Result:
        result: Result = {"outcome": "SUCCEEDED", "reason": "", "message": ""}
        if self._exit is not None:
            status, usage = self._exit
            result["peak_memory_bytes"] = usage.ru_maxrss * 1024
            result["cpu_us"] = int((usage.ru_utime + usage.ru_stime) * 1e6)
            if os.WIFSIGNALED(status):
                number = os.WTERMSIG(status)
                result |= {"outcome": "FAILED", "signal": number, "reason": "SIGNALED", "message": f"ended by signal {_name(number)}"}
                if number == signal.SIGKILL and self._cause is None and self._host.memory_was_short():
                    result |= {"reason": "OOM_KILLED", "message": "killed by the kernel: the worker's memory is short"}
            elif code := os.WEXITSTATUS(status):
                result |= {"outcome": "FAILED", "exit_code": code, "reason": "EXIT_NONZERO", "message": f"exit code {code}"}
            else:
                result["exit_code"] = 0
        result |= self._cause or {}
        if self._unkillable:
            said = [result["message"], _named(self._unkillable)]
            result["message"] = "; ".join(filter(None, said))
        return result


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _named(pids: set[int]) -> str:
    """At most five: the message has a bound."""
    shown = ", ".join(f"{pid} of {kin.owner(pid)}" for pid in sorted(pids)[:5])
    more = f" and {len(pids) - 5} more" if len(pids) > 5 else ""
    return f"could not be killed: process {shown}{more}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
