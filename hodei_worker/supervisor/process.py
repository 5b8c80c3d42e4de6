"""One job's process, from its spawn to its result.

In its own session. Whoever stops it sends TERM to all that is its (members.py), then KILL after the
grace. Whatever an action of it throws ends this job as INTERNAL, after a KILL, and no other.
"""

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.host import Ears, Host
from hodei_worker.supervisor.kept import smaller_limit
from hodei_worker.supervisor.members import Attributed, Contained, Members
from hodei_worker.supervisor.output import Output
from hodei_worker.supervisor.place import Place
from hodei_worker.supervisor.prepare import Prepared, StartFailed, prepare
from hodei_worker.supervisor.spawn import Spawn, Usage
from hodei_worker.supervisor.spool import STDERR, STDOUT, Tape
from hodei_worker.supervisor.verdict import (
    DISK_FULL,
    Result,
    failed,
    lost,
    named,
    verdict,
    with_words,
)

GRACE_S = 10.0
UNKILLABLE_S = 10.0
"""After the first KILL. What lives then is in an uninterruptible sleep or another user's: it is
named, and no longer waited for."""

KILL_AGAIN_S = 0.05
NEWBORN_EVERY_S, NEWBORN_LOOKS = 0.01, 20

DRAIN_S = 2.0
"""For a pipe to come to its end after everything that we know of has ended."""


class JobProcess:
    """`begin` once; `stop` at any time: the process's own end before TERM wins. What it comes to is
    told to its ears, once."""

    def __init__(self, start: dict[str, Any], host: Host, tape: Tape, ears: Ears) -> None:
        self._start = start
        self._spec = start["spec"]
        self._host = host
        self._ears = ears
        self._place = Place(host.folders, str(start["lease"]))
        self._loop = asyncio.get_running_loop()
        self._guard = Guard(self.fail)
        limit = smaller_limit(int(self._spec.get("log_limit", 0)), host.log_limit)
        self.output = Output(
            host.poller, tape, limit, self._guard, ears.wrote, self._disk_full, self._output_ended
        )
        self._begun = time.monotonic()
        self._pid = 0
        self._pidfd = 0  # only where its launcher died: then it is our own child
        self._members: Members | None = None  # once it is started
        self._spawning = False
        self._theirs: tuple[int, ...] = ()  # descriptors for the process, until it is started
        self._stop_when_spawned: tuple[Result, float | None] | None = None
        self._exit: tuple[int, Usage] | None = None
        self._cause: Result | None = None  # why we stopped it
        self._kill_at = 0.0  # end of the grace after that, by the loop's clock
        self._timers: list[asyncio.TimerHandle] = []
        self._leftover_count = 0
        self._faulty = False  # an action of ours threw: it is killed, and ends as INTERNAL
        self._unkillable: set[int] = set()
        self._doubtful: set[int] = set()  # may be this job's or another's: they live on
        self._quiet = (
            False  # its process has ended and left nobody: only the pipes' ends are waited for
        )
        self._over = False

    def begin(self) -> None:
        self._guard(self._begin)

    def _begin(self) -> None:
        try:
            prepared = prepare(self._place, self._start)
            if (
                limit_s := self._spec.get("start_timeout")
            ) and time.monotonic() - self._begun > limit_s:
                self._cause = failed("TIMEOUT", f"did not start within {limit_s:g} s")
            if self._cause is None:
                self._spawn(prepared)
        except StartFailed as error:
            self._cause = failed("START_FAILED", str(error))
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
        self._guard(self._let_go)
        result = verdict(self._exit, self._cause, self._host.memory_was_short)
        result = self.output.kept.told_in(result)
        result = with_words(
            result,
            named("could not be killed", self._unkillable),
            named("left over, by this job or another one", self._doubtful),
        )
        result["leftover_unknown"] = len(self._doubtful)
        result["run_us"] = max(1, int((time.monotonic() - self._begun) * 1e6))
        result["started_us"] = self._start["started_us"]
        result["leftover_processes"] = leftovers
        self._ears.ended(result)

    def _let_go(self) -> None:
        if self._members:
            self._doubtful = self._members.doubtful()
            self._members.release()

    # ── a fault of ours ──

    def fail(self, error: Exception) -> None:
        """What is simplest is done: KILL by pid and group, no look at anything else, and an end
        when it is dead."""
        traceback.print_exception(error, file=sys.stderr)
        sys.stderr.flush()
        words = f"the worker could not go on with the job: {error!r}"
        self._cause = failed("INTERNAL", words)
        if self._faulty or self._over:
            return
        self._faulty = True
        self._cancel_timers()
        self._kill_at = self._loop.time()
        if not self._spawning:
            self._end_faulty()

    def _end_faulty(self) -> None:
        """Until it is dead, or cannot be killed."""
        if self._over:
            return
        pid = self._pid
        if pid and self._exit is None:
            kin.send_to_group(pid, signal.SIGKILL)
            kin.send([pid], signal.SIGKILL)
            if self._pidfd:
                self._wait()
            if self._exit is None and self._loop.time() < self._kill_at + UNKILLABLE_S:
                self._loop.call_later(0.05, self._guard, self._end_faulty)
                return
        if isinstance(self._members, Contained):
            self._guard(self._members.send, signal.SIGKILL)
        self._guard(self._end, 0)

    # ── start ──

    def _spawn(self, prepared: Prepared) -> None:
        theirs = self.output.pipes()
        self._theirs = tuple(theirs.values())
        stdin = self._host.launchers.nothing
        if prepared.stdin != os.devnull:
            stdin = os.open(prepared.stdin, os.O_RDONLY | os.O_CLOEXEC)
            self._theirs += (stdin,)
        streams = (stdin, theirs[STDOUT], theirs[STDERR])
        try:
            if user := self._host.folders.user:
                for stream in theirs.values():
                    os.fchown(stream, user.uid, user.gid)  # so that it can open /dev/stdout
            over = self._guard.over
            spawn = self._asked = Spawn(
                prepared.argv,
                prepared.environment,
                prepared.workdir,
                streams,
                started=over(self._started),
                failed=over(self._not_started),
                ended=over(self._ended),
                ran=over(self._ran),
                orphaned=over(self._orphaned),
                unsure=over(self._unsure),
            )
            self._host.launchers.spawn(spawn)
        except Exception:
            self._close_theirs()
            raise
        self._spawning = True

    def _close_theirs(self) -> None:
        theirs, self._theirs = self._theirs, ()
        for fd in theirs:
            os.close(fd)

    def _not_started(self, why: str) -> None:
        self._close_theirs()
        self._spawning = False
        interpreter = self._spec.get("interpreter")
        if interpreter and why.startswith(f"{interpreter[0]}: "):
            why = f"bad interpreter: {why}"
        self._cause = failed("START_FAILED", why)
        self._end(0)

    def _unsure(self) -> None:
        """Its launcher was killed while it started it, by this very job perhaps: we look for it."""
        self._close_theirs()
        self._spawning = True
        self._look_for_newborn(NEWBORN_LOOKS)

    def _look_for_newborn(self, looks: int) -> None:
        since = self._asked_at()
        known = self._host.mains | self._host.launchers.pids
        pid = kin.newborn(self._start["job_id"], self._start["lease"], since, known)
        if pid:
            self._started(pid)
            self._orphaned()
        elif looks:
            self._after(NEWBORN_EVERY_S, self._look_for_newborn, looks - 1)
        else:
            self._spawning = False
            words = "the process that was starting it was killed"
            self._cause = lost(words)
            self._members = self._crew(0)
            self._members.send(signal.SIGKILL)
            self._end(0)

    def _asked_at(self) -> int:
        """When its launcher was asked for it, in the kernel's clock ticks, rounded down."""
        return kin.now() - int((time.monotonic() - self._asked.asked_at) * kin.TICKS_A_S) - 1

    def _crew(self, pid: int) -> Members:
        launchers = self._host.launchers
        if cgroup := self._asked.cgroup:
            return Contained(cgroup, launchers, pid)
        job_id, lease = self._start["job_id"], self._start["lease"]
        return Attributed(pid, job_id, lease, self._host.crowd, self._asked_at())

    def _ran(self, pid: int, status: int, usage: Usage) -> None:
        """It has ended before anything else could be done about it."""
        self._exit = (status, usage)
        self._is_there(pid)
        self._ears.started()
        self._ended(status, usage)
        if self._faulty:
            self._end_faulty()

    def _is_there(self, pid: int) -> None:
        self._close_theirs()
        self._spawning = False
        self._pid = pid
        self._members = self._crew(pid)

    def _started(self, pid: int) -> None:
        self._is_there(pid)
        self._host.mains.add(pid)
        self.output.watch()
        if isinstance(self._members, Attributed):
            self._ears.seen(self._members.seen)
        if self._faulty:
            self._end_faulty()
            return
        self._ears.started()
        if timeout_s := self._spec.get("timeout"):
            words = f"ran longer than its time-out of {timeout_s:g} s"
            self._after(timeout_s, self.stop, failed("TIMEOUT", words))
        if silence_s := self._spec.get("silence_timeout"):
            self._after(silence_s, self._watch_silence, silence_s)
        if self._stop_when_spawned:
            cause, grace_s = self._stop_when_spawned
            self.stop(cause, grace_s)

    def _after(self, seconds: float, action: Callable[..., object], *arguments: Any) -> None:
        self._timers.append(self._loop.call_later(seconds, self._guard, action, *arguments))

    def _watch_silence(self, limit_s: float) -> None:
        """A job whose pipes we do not read (its spool is full) is not to blame."""
        left_s = self.output.heard_at + limit_s - self._loop.time()
        if self.output.paused or left_s > 0:
            self._after(limit_s if self.output.paused else left_s, self._watch_silence, limit_s)
            return
        words = f"wrote nothing for longer than its silence_timeout of {limit_s:g} s"
        self.stop(failed("TIMEOUT", words))

    def _orphaned(self) -> None:
        """Its launcher died, and we are its parent now."""
        if self._exit is None and not self._over:
            self._pidfd = os.pidfd_open(self._pid)
            self._host.poller.watch(self._pidfd, self._guard.over(self._wait))

    def _wait(self) -> None:
        """ChildProcessError: its launcher had waited for it, and died before it could say so."""
        pid, status, usage = os.wait4(self._pid, os.WNOHANG)
        if pid:
            self._host.poller.close(self._pidfd)
            self._pidfd = 0
            self._ended(status, Usage(usage.ru_maxrss, usage.ru_utime, usage.ru_stime))

    def _ended(self, status: int, usage: Usage) -> None:
        self._exit = (status, usage)
        self._host.mains.discard(self._pid)
        if not self._over and not self._faulty:
            self._wind_down()

    def _has_ended(self) -> bool:
        """By now: what its launcher has said and we have not read yet counts."""
        self._host.launchers.hear()
        return self._exit is not None

    def _wind_down(self) -> None:
        """Nearly always nobody is left and the pipes are at their end."""
        self._cancel_timers()
        if self._left():
            self._host.group.create_task(self._end_leftovers())
        else:
            self._await_output(0)

    def _await_output(self, leftovers: int) -> None:
        self._quiet, self._leftover_count = True, leftovers
        self.output.drain()
        if self._over:
            return
        if self.output.open:
            self.output.watch()
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
        if self._cause is not None or self._has_ended():
            return
        self._cause = cause
        if not self._pid:
            return  # not started yet: it will not be
        self._ears.stopping()
        grace = self._grace_s if grace_s is None else grace_s
        self._kill_at = self._loop.time() + grace
        self._after(grace, self._kill)
        if grace > 0:
            self._send(signal.SIGTERM)

    def look(self) -> None:
        """Each half second: without a cgroup a job's processes are known while their parents
        live."""
        self._guard(self._look)

    def _look(self) -> None:
        if isinstance(self._members, Attributed) and self._members.look():
            self._ears.seen(self._members.seen)

    @property
    def _grace_s(self) -> float:
        return float(self._spec.get("grace", GRACE_S))

    def _kill(self) -> None:
        """Again and again until it has ended, or cannot be killed: a fork may race with a look."""
        self._send(signal.SIGKILL)
        if self._has_ended():
            return
        if self._loop.time() < self._kill_at + UNKILLABLE_S:
            self._after(KILL_AGAIN_S, self._kill)
            return
        self._unkillable = self._members.all() if self._members else set()
        self._end(0)

    def _send(self, number: signal.Signals) -> None:
        if self._members:
            self._members.send(number)

    # ── afterwards ──

    def _left(self) -> set[int]:
        return self._members.left() if self._members else set()

    async def _end_leftovers(self) -> None:
        """TERM, the job's grace (what was stopped: the rest of it), KILL; counted are those there
        were when it ended by itself."""
        try:
            self.output.watch()
            left = self._left()
            found = 0 if self._cause else len(left)
            deadline = self._kill_at if self._cause else self._loop.time() + self._grace_s
            if not self._cause:
                self._send(signal.SIGTERM)
            while left and self._loop.time() < deadline + UNKILLABLE_S:
                if self._loop.time() >= deadline:
                    self._send(signal.SIGKILL)
                await asyncio.sleep(0.02)
                self._host.reap()
                left = self._left()
            self._unkillable = left
            self._await_output(found)
        except Exception as error:  # noqa: BLE001  a fault of ours ends this job only
            self.fail(error)

    def _disk_full(self) -> None:
        self.stop(failed("LIMIT_EXCEEDED", DISK_FULL))
