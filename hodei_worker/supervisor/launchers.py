"""The supervisor's side of its launchers (launcher.py), the few processes that are the parents of
all jobs.

A job of the same user may kill a launcher. No running job ends by that: the kernel makes the
supervisor the parent of the launcher's children, and another launcher is started."""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.answers import Answers
from hodei_worker.supervisor.cgroups import Cgroup, Cgroups
from hodei_worker.supervisor.launcher import (
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
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.requests import send_request, start_launcher
from hodei_worker.supervisor.spawn import (
    COUNT,
    Launcher,
    Pending,
    Running,
    Spawn,
    Usage,
    at_work,
    next_launcher,
)
from hodei_worker.supervisor.user import JobUser

MOVE_OUT_S = 0.03
"""Seconds after a spawn when the launcher moves to an empty cgroup, so that the next job need not
wait for the move. A shorter job leaves its cgroup empty, and no move is needed."""

ANSWER_BYTES = 4096
"""Bytes of the buffer for an answer; no answer is longer."""

MOST_REFUSALS = 10
"""Number of cgroups that could not be entered after which jobs are started without cgroups."""


class Launchers:
    def __init__(
        self,
        poller: Poller,
        cgroups: Cgroups | None,
        user: JobUser | None,
        call_later: Callable[..., object],
    ) -> None:
        self._answers = Answers(poller, call_later, lambda: at_work(self._launchers))
        self._cgroups = cgroups
        self._call_later = call_later  # loop.call_later
        self._ids = [user.uid, user.gid, *user.groups] if user else []
        self._launchers: list[Launcher] = []
        self._waiting: deque[Spawn] = deque()  # bounded by the agent's slots
        self._running: dict[int, Running] = {}  # request number → process
        self._number = self._turn = 0
        self._closed = False
        self._refusals = 0
        self._move_scheduled = False
        for _ in range(COUNT):
            self._start_launcher()

    @property
    def pids(self) -> set[int]:
        return {launcher.pid for launcher in self._launchers}

    def _start_launcher(self) -> None:
        launcher = start_launcher(self._ids)
        self._launchers.append(launcher)
        self._answers.watch(launcher.link.fileno(), lambda: self._read_answers_of(launcher))
        self._move_out(launcher, None)

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
        while self._waiting and (launcher := next_launcher(self._launchers)):
            spawn = self._waiting.popleft()
            try:
                self._spawn(launcher, spawn)
            except Exception as error:  # noqa: BLE001  whatever it is: the other jobs go on
                self._leave(launcher, spawn)
                spawn.guard(spawn.on_error, error)

    def _spawn(self, launcher: Launcher, spawn: Spawn) -> None:
        spawn.requested_at = time.monotonic()
        kind = SPAWN
        if self._cgroups:
            if (at := launcher.cgroup) is None or not launcher.takes_more:
                self._assign_cgroup(launcher, at := self._cgroups.take_cgroup())
            spawn.cgroup = at
            if at.tenant is None:
                at.tenant = spawn
            else:
                kind |= BEHIND
            if not self._move_scheduled:
                self._move_scheduled = True
                self._call_later(MOVE_OUT_S, self._move_all_out)
        pairs = [word for pair in spawn.environment.items() for word in pair]
        words = [spawn.workdir, spawn.environment["PATH"], *spawn.argv, *pairs, spawn.umask]
        counts = (len(spawn.argv), len(pairs))
        self._send_request(launcher, kind, spawn, words, counts, spawn.streams)

    def _assign_cgroup(self, launcher: Launcher, cgroup: Cgroup) -> None:
        launcher.cgroup = cgroup
        launcher.may_be_in.add(cgroup)
        cgroup.guests.add(launcher.pid)

    def _move_out(self, launcher: Launcher, tenant: object) -> None:
        """Moves the launcher out of the cgroup of `tenant`, if it is still in it."""
        at = launcher.cgroup.tenant if launcher.cgroup else None
        if self._cgroups and at is tenant and launcher in self._launchers:
            self._assign_cgroup(launcher, self._cgroups.take_cgroup())
            self._send_request(launcher, MOVE, None)

    def _move_all_out(self) -> None:
        """Moves every launcher out of the cgroup of a job that was sent to it MOVE_OUT_S ago. Repeats
        as long as a launcher is in a job's cgroup."""
        self._move_scheduled = False
        now = time.monotonic()
        for launcher in self._launchers:
            tenant = launcher.cgroup.tenant if launcher.cgroup else None
            if tenant is None:
                continue
            if not launcher.pending and now - tenant.requested_at >= MOVE_OUT_S:
                self._move_out(launcher, tenant)
            elif not self._move_scheduled:
                self._move_scheduled = True
                self._call_later(MOVE_OUT_S, self._move_all_out)

    def vacate(self, cgroup: Cgroup) -> bool:
        """Tells the launchers to leave the cgroup. Returns whether none is in it, so that it may be
        killed."""
        for launcher in self._launchers:
            if launcher.cgroup is cgroup:
                self._move_out(launcher, cgroup.tenant)
        return not cgroup.guests

    def _leave(self, launcher: Launcher, spawn: Spawn) -> None:
        """The job has left its cgroup, or never was in it. The launcher stays there, for the next
        job."""
        if spawn.cgroup and spawn.cgroup.tenant is spawn:
            behind = (one.spawn for one in launcher.pending if one.cgroup is spawn.cgroup)
            spawn.cgroup.tenant = next(behind, None)

    def give_back(self, cgroup: Cgroup) -> None:
        """The cgroup's job has ended and has left no process in it."""
        cgroup.tenant = None
        if self._cgroups and not any(launcher.cgroup is cgroup for launcher in self._launchers):
            self._cgroups.give_back(cgroup)
        self._spawn_waiting()

    def _send_request(
        self,
        launcher: Launcher,
        kind: int,
        spawn: Spawn | None,
        words: "list[str] | tuple[()]" = (),
        counts: tuple[int, int] = (0, 0),
        streams: tuple[int, ...] = (),
    ) -> None:
        self._number += 1
        words = [launcher.cgroup.path if launcher.cgroup else "", *(words or ("", ""))]
        send_request(launcher.link, kind, self._number, words, counts, streams)
        launcher.pending.append(Pending(self._number, spawn, launcher.cgroup))

    # ── answers ──

    def read_answers(self) -> None:
        """Reads all answers that have arrived. Callers do so before they signal a process, which
        may have ended."""
        for launcher in list(self._launchers):
            self._read_answers_of(launcher)

    def _read_answers_of(self, launcher: Launcher) -> None:
        while self._read_answer(launcher):
            continue

    def _read_answer(self, launcher: Launcher) -> bool:
        try:
            message = launcher.link.recv(ANSWER_BYTES)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True  # it died with unread requests; its answers, and its end, come after this
        except OSError:
            message = b""
        if message:
            self._on_answer(launcher, message)
            return True
        if launcher in self._launchers:
            self._on_death(launcher)
        return False

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
        _, spawn, cgroup = launcher.pending.popleft()
        more = message[ANSWER.size :]
        launcher.knows_behind |= more == EMPTY
        words = more.decode(errors="replace")
        if kind == FAILED and not values[0] and cgroup:
            self._on_cgroup_refused(launcher, cgroup, spawn, words)
            return
        self._on_cgroup_entered(launcher, cgroup)
        if spawn and kind == ENDED:
            if more == EMPTY:
                self._leave(launcher, spawn)
            spawn.guard(spawn.on_ran, pid, status, usage, more != EMPTY)
        elif spawn and kind == SPAWNED:
            self._running[number] = Running(spawn, launcher)
            spawn.guard(spawn.on_started, values[0])
        elif spawn:
            self._leave(launcher, spawn)
            if kind == OCCUPIED:
                self._wait_again(spawn)
            else:
                spawn.guard(spawn.on_failed, words)
        self._spawn_waiting()

    def _on_cgroup_entered(self, launcher: Launcher, cgroup: Cgroup | None) -> None:
        """The launcher has left its other cgroups, except those that pending requests name."""
        if len(launcher.may_be_in) < 2:
            return
        stays = {cgroup, *(pending.cgroup for pending in launcher.pending)}
        for left in launcher.may_be_in - stays:
            left.guests.discard(launcher.pid)
            launcher.may_be_in.discard(left)

    def _on_cgroup_refused(
        self, launcher: Launcher, cgroup: Cgroup, spawn: Spawn | None, words: str
    ) -> None:
        """The cgroup is gone; only root can have removed it. Another one is made for the job. After
        MOST_REFUSALS of them jobs are started without cgroups."""
        print(f"a launcher cannot enter a cgroup: {words}", file=sys.stderr, flush=True)
        if launcher.cgroup is cgroup:
            launcher.cgroup = None
            self._refusals += 1
        if self._refusals > MOST_REFUSALS:
            self._cgroups = None
        if spawn:
            self._leave(launcher, spawn)
            self._wait_again(spawn)
        self._spawn_waiting()

    def _on_death(self, launcher: Launcher) -> None:
        self._launchers.remove(launcher)
        self._answers.unwatch(launcher.link.fileno())
        launcher.link.close()
        for cgroup in launcher.may_be_in:
            cgroup.guests.discard(launcher.pid)
        if launcher.cgroup and not launcher.cgroup.tenant:
            self.give_back(launcher.cgroup)
        if self._closed:
            return
        kin.send_signal([launcher.pid], signal.SIGKILL)
        os.waitpid(launcher.pid, 0)  # from now on its children are our children
        print(f"launcher {launcher.pid} ended; starting another", file=sys.stderr, flush=True)
        unsure = launcher.take_unsure()
        for spawn in [one.spawn for one in launcher.pending if one.spawn]:
            if spawn.cgroup and spawn.cgroup.tenant is spawn:
                self.give_back(spawn.cgroup)
            self._wait_again(spawn)
        for number in [n for n, one in self._running.items() if one.launcher is launcher]:
            orphaned = self._running.pop(number).spawn
            orphaned.guard(orphaned.on_orphaned)
        if unsure:
            unsure.guard(unsure.on_unsure)
        self._start_launcher()
        self._spawn_waiting()

    def continue_all(self) -> None:
        """Continues launchers that a job has stopped with SIGSTOP."""
        kin.send_signal(self.pids, signal.SIGCONT)

    def close(self) -> None:
        self._closed = True
        self._answers.close()
        for launcher in self._launchers:
            launcher.link.close()
            try:
                os.waitpid(launcher.pid, 0)
            except ChildProcessError:
                continue
