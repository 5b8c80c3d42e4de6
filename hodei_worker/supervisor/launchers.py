"""The supervisor's side of its launchers (launcher.py), the few processes that are the parents of
all jobs.

A job of the same user may kill a launcher. No running job ends by that: the kernel makes the
supervisor the parent of the launcher's children, and another launcher is started."""

import os
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.cgroups import Cgroup, Cgroups
from hodei_worker.supervisor.launcher import (
    ANSWER,
    ENDED,
    FAILED,
    LARGE,
    MAX_MESSAGE_BYTES,
    MOVE,
    REQUEST,
    SPAWN,
    SPAWNED,
)
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.spawn import Launcher, Pending, Running, Spawn, Usage
from hodei_worker.supervisor.user import JobUser

COUNT = max(2, min(6, 2 * (os.cpu_count() or 2)))
"""Number of launchers."""

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
        self._poller = poller
        self._cgroups = cgroups
        self._call_later = call_later  # loop.call_later
        self._ids = [user.uid, user.gid, *user.groups] if user else []
        self._launchers: list[Launcher] = []
        self._waiting: deque[Spawn] = deque()  # bounded by the agent's slots
        self._running: dict[int, Running] = {}  # request number → process
        self._number = 0
        self._closed = False
        self._refusals = 0
        self._move_scheduled = False
        self._dev_null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for _ in range(COUNT):
            self._start_launcher()

    @property
    def pids(self) -> set[int]:
        return {launcher.pid for launcher in self._launchers}

    def _start_launcher(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        program = str(Path(__file__).with_name("launcher.py"))
        given = (self._dev_null, 0), (self._dev_null, 1), (theirs.fileno(), 3)
        actions = [(os.POSIX_SPAWN_DUP2, descriptor, at) for descriptor, at in given]
        argv = [sys.executable, "-I", "-S", program, "3", *map(str, self._ids)]
        pid = os.posix_spawn(sys.executable, argv, {}, file_actions=actions, setsid=True)
        theirs.close()
        launcher = Launcher(pid, ours)
        self._launchers.append(launcher)
        self._poller.watch(ours.fileno(), lambda: self._read_answer(launcher))
        self._move_out(launcher, None)

    # ── requests ──

    def spawn(self, spawn: Spawn) -> None:
        """Starts the process as soon as a launcher is free. Raises ValueError if an argument or the
        environment has a NUL."""
        if "\0" in "".join((*spawn.argv, *spawn.environment, *spawn.environment.values())):
            raise ValueError("embedded null byte")
        self._waiting.append(spawn)
        self._spawn_waiting()

    def _spawn_waiting(self) -> None:
        while self._waiting:
            launcher = min(self._launchers, key=Launcher.load, default=None)
            if launcher is None or launcher.pending:
                return
            spawn = self._waiting.popleft()
            try:
                self._spawn(launcher, spawn)
            except Exception as error:  # noqa: BLE001  whatever it is: the other jobs go on
                if spawn.cgroup:
                    spawn.cgroup.tenant = None  # the launcher keeps it for the next job
                spawn.guard(spawn.on_error, error)

    def _spawn(self, launcher: Launcher, spawn: Spawn) -> None:
        spawn.requested_at = time.monotonic()
        if self._cgroups:
            if (at := launcher.cgroup) is None or at.tenant:
                self._assign_cgroup(launcher, at := self._cgroups.take_cgroup())
            spawn.cgroup, at.tenant = at, spawn
            if not self._move_scheduled:
                self._move_scheduled = True
                self._call_later(MOVE_OUT_S, self._move_all_out)
        pairs = [word for pair in spawn.environment.items() for word in pair]
        words = [spawn.workdir, spawn.environment["PATH"], *spawn.argv, *pairs, spawn.umask]
        counts = (len(spawn.argv), len(pairs))
        self._send_request(launcher, SPAWN, spawn, words, counts, spawn.streams)

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
        """Moves every launcher out of the cgroup of a job that has run for MOVE_OUT_S. Repeats as
        long as a launcher is in a job's cgroup."""
        self._move_scheduled = False
        now = time.monotonic()
        for launcher in self._launchers:
            tenant = launcher.cgroup.tenant if launcher.cgroup else None
            if tenant and now - tenant.requested_at >= MOVE_OUT_S:
                self._move_out(launcher, tenant)
            elif tenant and not self._move_scheduled:
                self._move_scheduled = True
                self._call_later(MOVE_OUT_S, self._move_all_out)

    def vacate(self, cgroup: Cgroup) -> bool:
        """Tells the launchers to leave the cgroup. Returns whether none is in it, so that it may be
        killed."""
        for launcher in self._launchers:
            if launcher.cgroup is cgroup:
                self._move_out(launcher, cgroup.tenant)
        return not cgroup.guests

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
        rest = "\0".join([*words, ""]).encode("utf-8", "surrogateescape")
        large = None
        if len(rest) > MAX_MESSAGE_BYTES // 2:
            large = os.memfd_create("request")
            kind, rest, whole = kind | LARGE, b"", rest
            os.pwrite(large, whole, 0)
            streams = (*streams, large)
        try:
            message = REQUEST.pack(kind, self._number, *counts) + rest
            launcher.pending.append(Pending(self._number, spawn, launcher.cgroup))
            ancillary = [
                (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(streams)}i", *streams))
            ]
            launcher.link.sendmsg([message], ancillary if streams else [])
        except OSError:
            return  # it is dead; the poller reports its end too
        finally:
            if large is not None:
                os.close(large)

    # ── answers ──

    def read_answers(self) -> None:
        """Reads all answers that have arrived. Callers do so before they signal a process, which
        may have ended."""
        for launcher in list(self._launchers):
            while self._read_answer(launcher):
                continue

    def _read_answer(self, launcher: Launcher) -> bool:
        try:
            message = launcher.link.recv(ANSWER_BYTES)
        except BlockingIOError:
            return False
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
        words = message[ANSWER.size :].decode(errors="replace")
        if kind == FAILED and not values[0] and cgroup:
            self._on_cgroup_refused(launcher, spawn, words)
            return
        self._on_cgroup_entered(launcher, cgroup)
        if spawn and kind == ENDED:
            spawn.guard(spawn.on_ran, pid, status, usage)
        elif spawn and kind == SPAWNED:
            self._running[number] = Running(spawn, launcher)
            spawn.guard(spawn.on_started, values[0])
        elif spawn:
            if cgroup:
                self.give_back(cgroup)
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

    def _on_cgroup_refused(self, launcher: Launcher, spawn: Spawn | None, words: str) -> None:
        """The cgroup is gone; only root can have removed it. Another one is made for the job. After
        MOST_REFUSALS of them jobs are started without cgroups."""
        print(f"a launcher cannot enter a cgroup: {words}", file=sys.stderr, flush=True)
        launcher.cgroup = None
        self._refusals += 1
        if self._refusals > MOST_REFUSALS:
            self._cgroups = None
        if spawn:
            spawn.cgroup = None
            self._waiting.appendleft(spawn)
        self._spawn_waiting()

    def _on_death(self, launcher: Launcher) -> None:
        self._launchers.remove(launcher)
        self._poller.unwatch(launcher.link.fileno())
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
        self._start_launcher()
        unsure = launcher.pending.popleft().spawn if launcher.pending else None
        for pending in reversed(launcher.pending):
            if pending.spawn:
                if pending.cgroup:
                    self.give_back(pending.cgroup)
                self._waiting.appendleft(pending.spawn)
        for number in [n for n, one in self._running.items() if one.launcher is launcher]:
            orphaned = self._running.pop(number).spawn
            orphaned.guard(orphaned.on_orphaned)
        if unsure:
            unsure.guard(unsure.on_unsure)
        self._spawn_waiting()

    def continue_all(self) -> None:
        """Continues launchers that a job has stopped with SIGSTOP."""
        kin.send_signal(self.pids, signal.SIGCONT)

    def close(self) -> None:
        self._closed = True
        for launcher in self._launchers:
            self._poller.unwatch(launcher.link.fileno())
            launcher.link.close()
            try:
                os.waitpid(launcher.pid, 0)
            except ChildProcessError:
                continue
