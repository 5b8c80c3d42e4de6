"""The supervisor's side of its launchers (launcher.py), the few processes that are the parents of
all jobs.

A job of the same user may kill a launcher. No running job ends by that: the kernel makes the
supervisor the parent of the launcher's children, and another launcher is started.

A start may hang, as in a network folder that is gone. Then its launcher hangs, and no other job:
what was sent behind it is taken back, and another launcher is started for it."""

import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.answers import Answers
from hodei_worker.supervisor.cgroups import Cgroup, Cgroups
from hodei_worker.supervisor.crew import Crew
from hodei_worker.supervisor.messages import (
    ANSWER,
    BEHIND,
    EMPTY,
    ENDED,
    FAILED,
    MOVE,
    OCCUPIED,
    SPAWN,
    SPAWNED,
)
from hodei_worker.supervisor.moves import Moves
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.spawn import (
    COUNT,
    HANGS_S,
    Launcher,
    Pending,
    Running,
    Spawn,
    Usage,
    at_work,
    next_launcher,
)
from hodei_worker.supervisor.user import JobUser

LOOK_EVERY_S = 0.1
"""Seconds between two looks for launchers that hang, while requests wait for an answer or there are
too few or too many launchers."""


class Aborted(Enum):
    """What became of a start that was to be ended."""

    NOT_BEGUN = auto()  # it never will; no callback follows
    KILLED = auto()  # a callback follows, if the kernel can end what hangs
    NOT_YET = auto()  # it does not hang, or its callbacks have come


class Launchers:
    def __init__(
        self,
        poller: Poller,
        cgroups: Cgroups | None,
        user: JobUser | None,
        call_later: Callable[..., object],
    ) -> None:
        self._call_later = call_later  # loop.call_later
        self._answers = Answers(poller, call_later, lambda: at_work(self._crew.all))
        ids = [user.uid, user.gid, *user.groups] if user else []
        self._crew = Crew(ids, self._answers, self._read_answers_of, self._on_death)
        self._moves = Moves(cgroups, self._crew.all, call_later, self._send_move)
        self._waiting: deque[Spawn] = deque()  # bounded by the agent's slots
        self._running: dict[int, Running] = {}  # request number → process
        self._number = self._turn = 0
        self._closed = self._look_is_scheduled = False
        for _ in range(COUNT):
            self._start_launcher()

    @property
    def pids(self) -> set[int]:
        return self._crew.pids

    @property
    def are_busy(self) -> bool:
        """Whether a process is being started, or waits for it."""
        return bool(self._waiting) or any(one.pending for one in self._crew.all)

    def _start_launcher(self) -> None:
        self._moves.move_out(self._crew.start_one())

    # ── requests ──

    def spawn(self, spawn: Spawn) -> None:
        """Starts the process at a launcher that has few requests. Raises ValueError if an argument or
        the environment has a NUL."""
        if "\0" in "".join((*spawn.argv, *spawn.environment, *spawn.environment.values())):
            raise ValueError("embedded null byte")
        self._turn += 1
        spawn.turn = self._turn
        self._waiting.append(spawn)
        self._spawn_waiting()

    def _wait_again(self, spawn: Spawn) -> None:
        """For a spawn whose request was in vain. It keeps its turn."""
        spawn.cgroup = None
        later = (at for at, other in enumerate(self._waiting) if other.turn > spawn.turn)
        self._waiting.insert(next(later, len(self._waiting)), spawn)

    def _spawn_waiting(self) -> None:
        while self._waiting and (launcher := next_launcher(self._crew.all)):
            spawn = self._waiting.popleft()
            try:
                self._spawn(launcher, spawn)
            except Exception as error:  # noqa: BLE001  whatever it is: the other jobs go on
                self._moves.leave(launcher, spawn)
                spawn.guard(spawn.on_error, error)
        self._look_later()

    def _spawn(self, launcher: Launcher, spawn: Spawn) -> None:
        spawn.requested_at = time.monotonic()
        kind = SPAWN | (BEHIND if self._moves.settle(launcher, spawn) else 0)
        pairs = [word for pair in spawn.environment.items() for word in pair]
        words = [spawn.workdir, spawn.environment["PATH"], *spawn.argv, *pairs, spawn.umask]
        counts = (len(spawn.argv), len(pairs))
        self._number += 1
        path = spawn.cgroup.path if spawn.cgroup else ""
        launcher.link.send(kind, self._number, [path, *words], counts, spawn.streams)
        request = Pending(self._number, spawn, spawn.cgroup, spawn.requested_at)
        launcher.pending.append(request)

    def _send_move(self, launcher: Launcher, cgroup: Cgroup) -> None:
        self._number += 1
        launcher.link.send(MOVE, self._number, [cgroup.path, "", ""], (0, 0), ())
        launcher.pending.append(Pending(self._number, None, cgroup, time.monotonic()))

    def vacate(self, cgroup: Cgroup) -> bool:
        """Tells the launchers to leave the cgroup. Returns whether none is in it, so that it may be
        killed."""
        return self._moves.vacate(cgroup)

    def give_back(self, cgroup: Cgroup) -> None:
        """The cgroup's job has ended and has left no process in it."""
        self._moves.give_back(cgroup)
        self._spawn_waiting()

    # ── answers ──

    def read_answers(self) -> None:
        """Reads all answers that have arrived, and sees which launchers are dead. It is called
        soon after each SIGCHLD, and before a process is signalled, which may have ended."""
        self._answers.read()
        self._crew.see_deaths()

    def _read_answers_of(self, launcher: Launcher) -> None:
        while launcher in self._crew.all and (message := launcher.link.receive()):
            self._on_answer(launcher, message)

    def _on_answer(self, launcher: Launcher, message: bytes) -> None:
        kind, number, *values = ANSWER.unpack_from(message)
        if kind == ENDED:
            pid, status, peak, user, system = values
            usage = Usage(peak, user / 1e6, system / 1e6)
            if known := self._running.pop(number, None):
                known.spawn.guard(known.spawn.on_ended, status, usage)
                return
            if not launcher.pending or launcher.pending[0].number != number:
                return
        spawn, cgroup = launcher.pending.popleft()[1:3]
        more = message[ANSWER.size :]
        launcher.knows_behind |= more == EMPTY
        if kind == FAILED and not values[0] and cgroup:
            self._moves.on_refused(launcher, cgroup, more.decode(errors="replace"))
            if spawn:
                self._moves.leave(launcher, spawn)
                self._wait_again(spawn)
            self._spawn_waiting()
            return
        self._moves.on_entered(launcher, cgroup)
        if spawn and kind == ENDED:
            if more == EMPTY:
                self._moves.leave(launcher, spawn)
            spawn.guard(spawn.on_ran, pid, status, usage, more != EMPTY)
        elif spawn and kind == SPAWNED:
            self._running[number] = Running(spawn, launcher, values[0])
            self._moves.move_out_later()
            spawn.guard(spawn.on_started, values[0])
        elif spawn:
            self._moves.leave(launcher, spawn)
            if kind == OCCUPIED:
                self._wait_again(spawn)
            else:
                spawn.guard(spawn.on_failed, more.decode(errors="replace"))
        self._spawn_waiting()

    # ── starts that hang ──

    def _look_later(self) -> None:
        if not self._look_is_scheduled and not self._closed and self._crew.needs_looks:
            self._look_is_scheduled = True
            self._call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Looks for launchers that hang. Repeats as long as one has a request, or their number is
        not the usual one."""
        self._look_is_scheduled = False
        if self._closed:
            return
        try:
            self.read_answers()  # this process may be late itself
            for launcher in [one for one in self._crew.all if one.has_waited(HANGS_S)]:
                kin.send_signal([launcher.pid], signal.SIGCONT)
                if launcher.hangs:
                    self._take_back(launcher)
            if self._crew.lacks_one(jobs_wait=bool(self._waiting)):
                self._try_to_start_launcher()
            elif self._crew.has_too_many():
                self._end_idle_launcher()
        finally:
            self._spawn_waiting()

    def _take_back(self, launcher: Launcher) -> None:
        """Takes back what the launcher has not read. If it will not be where the next request expects
        it, it is told to move there."""
        taken = launcher.take_back()
        for spawn in [one.spawn for one in taken if one.spawn]:
            self._moves.leave(launcher, spawn)
            self._wait_again(spawn)
        left = [one.cgroup for one in launcher.pending]
        if launcher.cgroup in [one.cgroup for one in taken] and launcher.cgroup not in left:
            self._moves.repeat(launcher)

    def _try_to_start_launcher(self) -> None:
        if launcher := self._crew.try_to_start_one():
            self._moves.move_out(launcher)

    def _end_idle_launcher(self) -> None:
        parents = {one.launcher for one in self._running.values()}
        for launcher in self._crew.all:
            if not launcher.pending and launcher not in parents:
                self._crew.remove(launcher)
                self._moves.on_death(launcher)
                return

    def abort(self, spawn: Spawn) -> Aborted:
        """Ends a start that takes long. Callbacks of other spawns, and of this one, may come before
        it returns."""
        self.read_answers()
        if launcher := self._launcher_of(spawn):
            self._take_back(launcher)
        try:
            if spawn in self._waiting:
                self._waiting.remove(spawn)
                return Aborted.NOT_BEGUN
            return self._kill_start(launcher, spawn) if launcher else Aborted.NOT_YET
        finally:
            self._spawn_waiting()

    def _kill_start(self, launcher: Launcher, spawn: Spawn) -> Aborted:
        """Kills the process that the launcher has made for this start, or the launcher if there is
        none. The start is its first request before and after the search: what was found then belongs
        to no other."""
        if launcher.pending[0].spawn is not spawn:
            return Aborted.NOT_YET
        known = {one.pid for one in self._running.values() if one.launcher is launcher}
        children = [pid for pid in kin.children(launcher.pid) if pid not in known]
        newborn = [pid for pid in children if not kin.is_dead(pid)]
        self.read_answers()
        is_first = bool(launcher.pending) and launcher.pending[0].spawn is spawn
        if not (is_first and launcher.hangs and launcher in self._crew.all):
            return Aborted.NOT_YET
        kin.send_signal(newborn or [launcher.pid], signal.SIGKILL)
        return Aborted.KILLED

    def _launcher_of(self, spawn: Spawn) -> Launcher | None:
        asked = (one for one in self._crew.all if any(spawn is each.spawn for each in one.pending))
        return next(asked, None)

    def abandon(self, spawn: Spawn) -> bool:
        """No callback of the spawn follows. What hangs in its start, and was killed, may end later.
        Returns whether a launcher has it."""
        launcher = self._launcher_of(spawn)
        if launcher:
            forgotten = (
                one._replace(spawn=None) if one.spawn is spawn else one for one in launcher.pending
            )
            launcher.pending = deque(forgotten)
        return launcher is not None

    # ── the launchers' ends ──

    def _on_death(self, launcher: Launcher) -> None:
        taken = launcher.take_back()
        unsure = launcher.take_unsure()
        self._crew.remove(launcher)
        print(f"launcher {launcher.pid} ended", file=sys.stderr, flush=True)
        self._moves.on_death(launcher)
        for spawn in [one.spawn for one in (*launcher.pending, *taken) if one.spawn]:
            if spawn.cgroup and spawn.cgroup.tenant is spawn:
                self._moves.give_back(spawn.cgroup)
            self._wait_again(spawn)
        for number in [n for n, one in self._running.items() if one.launcher is launcher]:
            orphaned = self._running.pop(number).spawn
            orphaned.guard(orphaned.on_orphaned)
        if unsure:
            unsure.guard(unsure.on_unsure)
        if self._crew.lacks_one(jobs_wait=bool(self._waiting)):
            self._try_to_start_launcher()
        self._spawn_waiting()

    def continue_all(self) -> None:
        """Continues launchers that a job has stopped with SIGSTOP."""
        self._crew.continue_all()

    def close(self) -> None:
        self._closed = True
        self._answers.close()
        self._crew.close()
