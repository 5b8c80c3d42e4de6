"""The start of one job's process: from the request to a launcher until we know whether it runs."""

import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from hodei.protocol.words import Reason
from hodei_worker.supervisor import kin
from hodei_worker.supervisor.executor import Start
from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.launchers import Aborted
from hodei_worker.supervisor.members import Attributed, Contained, Members
from hodei_worker.supervisor.prepare import Prepared
from hodei_worker.supervisor.result import Cause, failed, lost
from hodei_worker.supervisor.shared import Shared
from hodei_worker.supervisor.spawn import PROGRAM, Spawn, Usage
from hodei_worker.supervisor.spool import STDERR, STDOUT

STOP_AFTER_S, STOP_EVERY_S, STOP_TRIES = 1.0, 0.2, 50
"""A start that hangs is ended so many seconds after the job was stopped, again and again; after the
last try it is given up."""

NEWBORN_EVERY_S, NEWBORN_LOOKS = 0.01, 20
"""If the launcher was killed meanwhile: seconds between two searches for the process, and how many
are made before the job is reported lost."""


class Stop(NamedTuple):
    cause: Cause
    grace_s: float | None  # None: the job's own


class Outcomes(Protocol):
    """The callbacks. Exactly one of these comes first: `on_started` (then `on_ended` follows, and
    `on_orphaned` may come before it), `on_ran` if the process has ended already, or
    `on_not_started`."""

    def on_started(self, pid: int) -> None: ...

    def on_ran(self, pid: int, status: int, usage: Usage, may_be_left: bool) -> None:
        """`status`: the wait status. `may_be_left`: it may have left processes."""

    def on_not_started(self, cause: Cause, left: Members | None) -> None:
        """`left`: its processes, if any may be left."""

    def on_ended(self, status: int, usage: Usage) -> None: ...

    def on_orphaned(self) -> None:
        """Its launcher died: we are its parent now."""


class Starting(Spawn):
    """It is itself the request that launchers get: another object would refer to this one, and only
    the collector would free the two."""

    def __init__(
        self,
        start: Start,
        shared: Shared,
        guard: Guard,
        call_after: Callable[..., None],
        outcomes: Outcomes,
    ) -> None:
        """`call_after` calls an action some seconds later, unless the job has ended by then."""
        self.guard = guard
        self.cgroup = None
        self.requested_at, self.turn = 0.0, 0
        self._start = start
        self._shared = shared
        self._call_after = call_after
        self._outcomes = outcomes
        self._job_descriptors: tuple[int, ...] = ()  # closed once the process has its copies
        self.under_way = False
        self.stopped: Stop | None = None  # while it was under way
        self.ended_because: Cause | None = None  # what hung was killed for it

    def begin(self, prepared: Prepared, pipes: dict[int, int]) -> None:
        """`pipes`: stream → the job's end of its pipe. They are closed here in any case. Raises
        OSError or ValueError if the request cannot be made."""
        self._job_descriptors = tuple(pipes.values())
        self.argv, self.environment, self.workdir, stdin_path, self.umask = prepared
        try:
            streams: tuple[int, ...] = (pipes[STDOUT], pipes[STDERR])
            if stdin_path != os.devnull:
                stdin = os.open(stdin_path, os.O_RDONLY | os.O_CLOEXEC)
                self._job_descriptors += (stdin,)
                streams = (stdin, *streams)
            if user := self._shared.folders.user:
                for stream in pipes.values():
                    os.fchown(stream, user.uid, user.gid)  # so that it can open /dev/stdout
            self.streams = streams
            self._shared.launchers.spawn(self)
        except Exception:
            self._close_descriptors()
            raise
        self.under_way = True

    def members(self, pid: int) -> Members:
        """Returns the job's processes. pid 0: the process itself is not known."""
        if cgroup := self.cgroup:
            return Contained(cgroup, self._shared.launchers, pid)
        start = self._start
        return Attributed(
            pid, start.job_id, start.lease, self._shared.crowd, self._requested_ticks()
        )

    def _requested_ticks(self) -> int:
        """Returns when the request was sent to the launcher, in the kernel's clock ticks, rounded
        down."""
        return kin.now_ticks() - int((time.monotonic() - self.requested_at) * kin.TICKS_A_S) - 1

    def _close_descriptors(self) -> None:
        self.under_way = False
        descriptors, self._job_descriptors = self._job_descriptors, ()
        for fd in descriptors:
            os.close(fd)

    # ── stop ──

    def limit(self, begun: float) -> Cause | None:
        """Limits it to the job's start_timeout, which counts from `begun` (monotonic). Returns why it
        is too late, if it is over."""
        limit_s = self._start.spec.get("start_timeout")
        if not limit_s:
            return None
        cause = failed(Reason.TIMEOUT, f"did not start within {limit_s:g} s")
        if (left_s := begun + limit_s - time.monotonic()) < 0:
            return cause
        self._call_after(left_s, self._stop_late, cause)
        return None

    def _stop_late(self, cause: Cause) -> None:
        if self.under_way:
            self.stop(Stop(cause, None))

    def stop(self, stop: Stop) -> None:
        """Called while it is under way. The job is stopped when it has started; a start that hangs
        is ended. The first stop counts."""
        if self.stopped is None:
            self.stopped = stop
            self._call_after(STOP_AFTER_S, self._end, stop.cause, STOP_TRIES)

    def _end(self, cause: Cause, tries: int) -> None:
        if not self.under_way:
            return
        if tries:
            self._call_after(STOP_EVERY_S, self._end, cause, tries - 1)
        aborted = self._shared.launchers.abort(self)
        if aborted is Aborted.KILLED:
            self.ended_because = cause
        if aborted is Aborted.NOT_BEGUN:
            self._on_not_started(cause)
        elif self.under_way and not tries:
            self._close_descriptors()
            is_known = self._shared.launchers.abandon(self)
            words = f"{cause.message}; its start hangs and could not be ended"
            self._on_not_started(cause._replace(message=words), self._kill_left(is_known))

    def _kill_left(self, launcher_lives: bool) -> Members | None:
        """Kills what may be left of a start whose launcher is dead. Without a cgroup that is also
        each process that a dead launcher has made and that is not yet another program."""
        if launcher_lives:
            return None
        left = self.members(0)
        left.send(signal.SIGKILL)
        if self.cgroup is None:
            kin.kill_forks(PROGRAM, self._shared.main_pids | self._shared.launchers.pids)
        return left

    def _on_not_started(self, cause: Cause, left: Members | None = None) -> None:
        self._close_descriptors()
        self._outcomes.on_not_started(cause, left)

    # ── callbacks of the launchers ──

    def on_started(self, pid: int) -> None:
        self._close_descriptors()
        self._outcomes.on_started(pid)

    def on_ran(self, pid: int, status: int, usage: Usage, may_be_left: bool) -> None:
        self._close_descriptors()
        self._outcomes.on_ran(pid, status, usage, may_be_left)

    def on_ended(self, status: int, usage: Usage) -> None:
        self._outcomes.on_ended(status, usage)

    def on_orphaned(self) -> None:
        self._outcomes.on_orphaned()

    def on_failed(self, why: str) -> None:
        interpreter = self._start.spec.get("interpreter")
        if interpreter and why.startswith(f"{interpreter[0]}: "):
            why = f"bad interpreter: {why}"
        self._on_not_started(self.ended_because or failed(Reason.START_FAILED, why))

    def on_error(self, error: Exception) -> None:
        self._close_descriptors()
        raise error

    def on_unsure(self) -> None:
        """The launcher was killed while it started the process, perhaps by this job. The process is
        searched for."""
        self._close_descriptors()
        self.under_way = True
        self._shared.search_newborn((NEWBORN_LOOKS + 1) * NEWBORN_EVERY_S)
        self._look_for_newborn(NEWBORN_LOOKS)

    def _look_for_newborn(self, looks: int) -> None:
        known = self._shared.main_pids | self._shared.launchers.pids
        cgroup = self.cgroup.path if self.cgroup else None
        pid = kin.find_newborn(
            self._start.job_id, self._start.lease, self._requested_ticks(), known, cgroup
        )
        if pid:
            self.on_started(pid)
            self._outcomes.on_orphaned()
        elif looks:
            self._call_after(NEWBORN_EVERY_S, self._look_for_newborn, looks - 1)
        else:
            self._close_descriptors()
            cause = lost("the process that was starting it was killed")
            self._on_not_started(self.ended_because or cause, self._kill_left(launcher_lives=False))
