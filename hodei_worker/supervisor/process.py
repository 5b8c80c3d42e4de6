"""One job's process, from its spawn to its result.

Spawned by posix_spawn (vfork: fast whatever this process holds), in its own session; its end is seen through a pidfd and only its own pid
is waited for. Whoever stops it sends TERM to the group and to what escaped it, then KILL after the grace.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.output import Output
from hodei_worker.supervisor.prepare import JobUser, Prepared, StartFailed, clear, prepare
from hodei_worker.supervisor.spool import Spool

GRACE_S = 10.0
LEFTOVER_GRACE_S = 2.0
"""For what still lives when the job's own process has ended."""

DRAIN_S = 2.0
"""For a pipe to come to its end after everything that we know of has ended."""

Result = dict[str, Any]


class JobProcess:
    """`run` returns its result. `stop` may be called at any time; the process's own end before TERM wins."""

    def __init__(
        self,
        start: dict[str, Any],
        folder: Path,
        spool: Spool,
        log_limit: int,
        user: JobUser | None,
        wrote: Callable[[], None],
        started: Callable[[], None],
        stopping: Callable[[], None],
        pids: set[int],
        memory_was_short: Callable[[], bool],
    ) -> None:
        self._start = start
        self._spec = start["spec"]
        self._folder = folder
        self._user = user
        self._started = started
        self._stopping = stopping
        self._memory_was_short = memory_was_short  # the kernel has killed somebody just now
        self._pids = pids  # of all jobs' own processes, shared: nobody else may wait for them
        self._loop = asyncio.get_running_loop()
        self.output = Output(spool, int(self._spec.get("log_limit", log_limit)), wrote, self._disk_full)
        self._spool = spool
        self._pid = 0
        self._exit: tuple[int, Any] | None = None
        self._exited = asyncio.Event()
        self._cause: Result | None = None  # why we stopped it
        self._kill_at = 0.0  # end of the grace after that, by the loop's clock
        self._timers: list[asyncio.TimerHandle] = []

    async def run(self) -> Result:
        begun = time.monotonic()
        try:
            prepared = prepare(self._folder, self._start, self._user)
            if (limit_s := self._spec.get("start_timeout")) and time.monotonic() - begun > limit_s:
                self._cause = {"outcome": "FAILED", "reason": "TIMEOUT", "message": f"did not start within {limit_s:g} s"}
            if self._cause is None:
                self._spawn(prepared)
        except StartFailed as error:
            self._cause = {"outcome": "FAILED", "reason": "START_FAILED", "message": str(error)}
        leftovers = 0
        if self._pid:
            await self._exited.wait()
            leftovers = await self._end_leftovers()
            await self._drain()
        self.output.close()
        clear(self._folder)
        run_us = max(1, int((time.monotonic() - begun) * 1e6))
        return self._result() | {
            "run_us": run_us,
            "started_us": self._start["started_us"],
            "log_chunks": self._spool.next_seq,
            "log_bytes": self.output.kept_bytes,
            "log_dropped_bytes": self.output.dropped_bytes,
            "leftover_processes": leftovers,
        }

    # ── start ──

    def _spawn(self, prepared: Prepared) -> None:
        theirs = self.output.open()
        try:
            os.chdir(prepared.workdir)  # posix_spawn cannot; this process is single-threaded and needs no folder of its own
            self._pid = os.posix_spawn(
                prepared.program,
                prepared.argv,
                prepared.environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, prepared.stdin, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, theirs[1], 1),
                    (os.POSIX_SPAWN_DUP2, theirs[2], 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
            )
        except OSError as error:
            raise StartFailed(f"{prepared.argv[0]}: {error.strerror}") from error
        finally:
            os.chdir("/")
            for fd in theirs.values():
                os.close(fd)
        self._pids.add(self._pid)
        kin.offer_as_victim(self._pid)
        self._started()
        pidfd = os.pidfd_open(self._pid)
        self._loop.add_reader(pidfd, self._seen_exit, pidfd)
        if timeout_s := self._spec.get("timeout"):
            words = f"ran longer than its time-out of {timeout_s:g} s"
            self._timers.append(self._loop.call_later(timeout_s, self.stop, {"outcome": "FAILED", "reason": "TIMEOUT", "message": words}))
        if silence_s := self._spec.get("silence_timeout"):
            self._timers.append(self._loop.call_later(silence_s, self._watch_silence, silence_s))

    def _watch_silence(self, limit_s: float) -> None:
        """A job whose pipes we do not read (its spool is full) is not to blame."""
        left_s = self.output.heard_at + limit_s - self._loop.time()
        if self.output.paused or left_s > 0:
            self._timers.append(self._loop.call_later(limit_s if self.output.paused else left_s, self._watch_silence, limit_s))
            return
        words = f"wrote nothing for longer than its silence_timeout of {limit_s:g} s"
        self.stop({"outcome": "FAILED", "reason": "TIMEOUT", "message": words})

    def _seen_exit(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._reap()

    def _reap(self) -> bool:
        """True: it has ended, and its exit code is known."""
        if self._exit is None and self._pid:
            pid, status, usage = os.wait4(self._pid, os.WNOHANG)
            if pid:
                self._exit = (status, usage)
                self._pids.discard(self._pid)
                self._exited.set()
        return self._exit is not None

    # ── stop ──

    def stop(self, cause: Result, grace_s: float | None = None) -> None:
        """TERM to the whole family, KILL after the grace. The first cause stays."""
        if self._cause is not None or self._reap():
            return
        self._cause = cause
        if not self._pid:
            return  # not started yet: it will not be
        self._stopping()
        grace = float(self._spec.get("grace", GRACE_S)) if grace_s is None else grace_s
        self._kill_at = self._loop.time() + grace
        if grace <= 0:
            self._kill()
            return
        self._signal(signal.SIGTERM)
        self._timers.append(self._loop.call_later(grace, self._kill))

    def _kill(self) -> None:
        """Twice, as a fork may race with the first look; and again until it has ended."""
        self._signal(signal.SIGKILL)
        self._signal(signal.SIGKILL)
        if not self._reap():
            self._timers.append(self._loop.call_later(0.5, self._kill))

    def _signal(self, number: signal.Signals) -> None:
        escaped = kin.family([self._pid]) | kin.of_attempt(self._start["job_id"], self._start["lease"])
        kin.send_to_group(self._pid, number)
        kin.send({pid for pid in escaped if _group(pid) != self._pid}, number)

    # ── afterwards ──

    def _leftovers(self) -> set[int]:
        """What our job left behind: its group, and orphans that became our children and carry its lease."""
        strangers = [pid for pid in kin.my_children() if pid not in self._pids]
        mine = [p for p in strangers if _group(p) == self._pid or kin.belongs(p, self._start["job_id"], self._start["lease"])]
        return kin.family(mine)

    async def _end_leftovers(self) -> int:
        """TERM, 2 s (what was stopped: the rest of its grace), KILL; how many there were when it ended by itself."""
        for timer in self._timers:
            timer.cancel()
        if all(pid in self._pids for pid in kin.my_children()):
            return 0  # nearly always
        left = self._leftovers()
        found = len(left)
        deadline = self._kill_at if self._cause else self._loop.time() + LEFTOVER_GRACE_S
        if not self._cause:
            kin.send(left, signal.SIGTERM)
        while left:
            if self._loop.time() >= deadline:
                kin.send(left, signal.SIGKILL)
            await asyncio.sleep(0.02)
            kin.reap_orphans(self._pids)
            left = self._leftovers()
            if self._loop.time() > deadline + 10:
                break  # in an uninterruptible sleep: nothing more can be done
        kin.reap_orphans(self._pids)
        return 0 if self._cause else found

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                await self.output.ended.wait()
        except TimeoutError:
            return

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
                if number == signal.SIGKILL and self._cause is None and self._memory_was_short():
                    result |= {"reason": "OOM_KILLED", "message": "killed by the kernel: the worker's memory is short"}
            elif code := os.WEXITSTATUS(status):
                result |= {"outcome": "FAILED", "exit_code": code, "reason": "EXIT_NONZERO", "message": f"exit code {code}"}
            else:
                result["exit_code"] = 0
        return result | (self._cause or {})


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
