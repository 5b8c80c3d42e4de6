"""The supervisor's side of its launchers (launcher.py): a few processes that are the parents of all
jobs.

One that dies, as a job of the same user may kill it, costs no job that runs: the kernel makes us
the parent of its children, and another is started.
"""

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
    MOST,
    MOVE,
    REQUEST,
    SPAWN,
    SPAWNED,
)
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.spawn import Asked, Launcher, Spawn, Usage
from hodei_worker.supervisor.user import JobUser

COUNT = max(2, min(6, 2 * (os.cpu_count() or 2)))

MOVE_ON_S = 0.03
"""After a spawn the launcher goes to an empty cgroup, so that the next job need not wait for a
move; a job that is as short as this leaves its own behind empty, and no move is needed at all."""


ANSWER_BYTES = 4096
"""More than a launcher's answer has."""

MOST_TROUBLES = 10
"""Cgroups that could not be entered, before jobs are started without."""


class Launchers:
    def __init__(
        self,
        poller: Poller,
        cgroups: Cgroups | None,
        user: JobUser | None,
        later: Callable[..., object],
    ) -> None:
        self._poller = poller
        self._cgroups = cgroups
        self._later = later  # as loop.call_later
        self._ids = [user.uid, user.gid, *user.groups] if user else []
        self._all: list[Launcher] = []
        self._waiting: deque[Spawn] = deque()  # bounded by the agent's slots
        self._running: dict[int, tuple[Spawn, Launcher]] = {}
        self._number = 0
        self._closed = False
        self._troubles = 0
        self._moving_on = False
        self.nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for _ in range(COUNT):
            self._add()

    @property
    def pids(self) -> set[int]:
        return {launcher.pid for launcher in self._all}

    def _add(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        program = str(Path(__file__).with_name("launcher.py"))
        actions = [(os.POSIX_SPAWN_DUP2, self.nothing, 0), (os.POSIX_SPAWN_DUP2, self.nothing, 1)]
        actions.append((os.POSIX_SPAWN_DUP2, theirs.fileno(), 3))
        argv = [sys.executable, "-I", "-S", program, "3", *map(str, self._ids)]
        pid = os.posix_spawn(sys.executable, argv, {}, file_actions=actions, setsid=True)
        theirs.close()
        launcher = Launcher(pid, ours)
        self._all.append(launcher)
        self._poller.watch(ours.fileno(), lambda: self._hear(launcher))
        self._move_on(launcher, None)

    # ── what is asked ──

    def spawn(self, wanted: Spawn) -> None:
        """ValueError: a NUL in what a program is to be given."""
        if "\0" in "".join((*wanted.argv, *wanted.environment, *wanted.environment.values())):
            raise ValueError("embedded null byte")
        self._waiting.append(wanted)
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting:
            launcher = min(self._all, key=_busy, default=None)
            if launcher is None or launcher.asked:
                return
            self._spawn(launcher, self._waiting.popleft())

    def _spawn(self, launcher: Launcher, wanted: Spawn) -> None:
        wanted.asked_at = time.monotonic()
        if self._cgroups:
            if (at := launcher.at) is None or at.tenant:
                self._send_to(launcher, at := self._cgroups.take())
            wanted.cgroup, at.tenant = at, wanted
            if not self._moving_on:
                self._moving_on = True
                self._later(MOVE_ON_S, self._move_all_on)
        pairs = [word for pair in wanted.environment.items() for word in pair]
        words = [wanted.workdir, wanted.environment["PATH"], *wanted.argv, *pairs]
        counts = (len(wanted.argv), len(pairs))
        self._ask(launcher, SPAWN, wanted, words, counts, wanted.streams)

    def _send_to(self, launcher: Launcher, cgroup: Cgroup) -> None:
        launcher.at = cgroup
        launcher.inside.add(cgroup)
        cgroup.guests.add(launcher.pid)

    def _move_on(self, launcher: Launcher, tenant: object) -> None:
        """Out of the cgroup in which this one's process is, if it is there yet."""
        at = launcher.at.tenant if launcher.at else None
        if self._cgroups and at is tenant and launcher in self._all:
            self._send_to(launcher, self._cgroups.take())
            self._ask(launcher, MOVE, None)

    def _move_all_on(self) -> None:
        """Those whose job still runs; again as long as there is a job in whose cgroup a launcher
        is."""
        self._moving_on = False
        now = time.monotonic()
        for launcher in self._all:
            tenant = launcher.at.tenant if launcher.at else None
            if tenant and now - tenant.asked_at >= MOVE_ON_S:
                self._move_on(launcher, tenant)
            elif tenant and not self._moving_on:
                self._moving_on = True
                self._later(MOVE_ON_S, self._move_all_on)

    def leave(self, cgroup: Cgroup) -> bool:
        """So that it can be killed; False: a launcher is in it yet, and goes."""
        for launcher in self._all:
            if launcher.at is cgroup:
                self._move_on(launcher, cgroup.tenant)
        return not cgroup.guests

    def give_back(self, cgroup: Cgroup) -> None:
        """Its job has ended, and nothing is left of it."""
        cgroup.tenant = None
        if self._cgroups and not any(launcher.at is cgroup for launcher in self._all):
            self._cgroups.give_back(cgroup)
        self._go_on()

    def _ask(
        self,
        launcher: Launcher,
        kind: int,
        wanted: Spawn | None,
        words: "list[str] | tuple[()]" = (),
        counts: tuple[int, int] = (0, 0),
        streams: tuple[int, ...] = (),
    ) -> None:
        self._number += 1
        words = [launcher.at.path if launcher.at else "", *(words or ("", ""))]
        rest = "\0".join([*words, ""]).encode("utf-8", "surrogateescape")
        large = None
        if len(rest) > MOST // 2:
            large = os.memfd_create("request")
            kind, rest, whole = kind | LARGE, b"", rest
            os.pwrite(large, whole, 0)
            streams = (*streams, large)
        launcher.asked.append(Asked(self._number, wanted, launcher.at))
        try:
            message = REQUEST.pack(kind, self._number, *counts) + rest
            beside = [
                (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(streams)}i", *streams))
            ]
            launcher.link.sendmsg([message], beside if streams else [])
        except OSError:
            return  # it is dead: its end is heard as well
        finally:
            if large is not None:
                os.close(large)

    # ── what is heard ──

    def hear(self) -> None:
        """What has come by now: a process that has ended must not be signalled."""
        for launcher in list(self._all):
            while self._hear(launcher):
                continue

    def _hear(self, launcher: Launcher) -> bool:
        try:
            message = launcher.link.recv(ANSWER_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            message = b""
        if message:
            self._heard(launcher, message)
            return True
        if launcher in self._all:
            self._died(launcher)
        return False

    def _heard(self, launcher: Launcher, message: bytes) -> None:
        kind, number, *told = ANSWER.unpack_from(message)
        if kind == ENDED:
            pid, status, peak, user, system = told
            usage = Usage(peak, user / 1e6, system / 1e6)
            if known := self._running.pop(number, None):
                known[0].ended(status, usage)
                return
            if not launcher.asked or launcher.asked[0].number != number:
                return
        _, wanted, cgroup = launcher.asked.popleft()
        words = message[ANSWER.size :].decode(errors="replace")
        if kind == FAILED and not told[0] and cgroup:
            self._not_entered(launcher, wanted, words)
            return
        self._is_in(launcher, cgroup)
        if wanted and kind == ENDED:
            wanted.ran(pid, status, usage)
        elif wanted and kind == SPAWNED:
            self._running[number] = (wanted, launcher)
            wanted.started(told[0])
        elif wanted:
            if cgroup:
                self.give_back(cgroup)
            wanted.failed(words)
        self._go_on()

    def _is_in(self, launcher: Launcher, cgroup: Cgroup | None) -> None:
        """And in no other, but for where it is asked to go next."""
        if len(launcher.inside) < 2:
            return
        stays = {cgroup, *(asked.cgroup for asked in launcher.asked)}
        for left in launcher.inside - stays:
            left.guests.discard(launcher.pid)
            launcher.inside.discard(left)

    def _not_entered(self, launcher: Launcher, wanted: Spawn | None, words: str) -> None:
        """The cgroup is gone, as only root could do it: another is made; when that fails too there
        are none any more."""
        print(f"a launcher cannot enter a cgroup: {words}", file=sys.stderr, flush=True)
        launcher.at = None
        self._troubles += 1
        if self._troubles > MOST_TROUBLES:
            self._cgroups = None
        if wanted:
            wanted.cgroup = None
            self._waiting.appendleft(wanted)
        self._go_on()

    def _died(self, launcher: Launcher) -> None:
        self._all.remove(launcher)
        self._poller.unwatch(launcher.link.fileno())
        launcher.link.close()
        for cgroup in launcher.inside:
            cgroup.guests.discard(launcher.pid)
        if launcher.at and not launcher.at.tenant:
            self.give_back(launcher.at)
        if self._closed:
            return
        kin.send([launcher.pid], signal.SIGKILL)
        os.waitpid(launcher.pid, 0)  # from here on its children are ours
        print(f"launcher {launcher.pid} ended; another is started", file=sys.stderr, flush=True)
        self._add()
        unsure = launcher.asked.popleft().wanted if launcher.asked else None
        for asked in reversed(launcher.asked):
            if asked.wanted:
                if asked.cgroup:
                    self.give_back(asked.cgroup)
                self._waiting.appendleft(asked.wanted)
        for number in [n for n, (_, parent) in self._running.items() if parent is launcher]:
            self._running.pop(number)[0].orphaned()
        if unsure:
            unsure.unsure()
        self._go_on()

    def wake(self) -> None:
        """One that a job has stopped goes on."""
        kin.send(self.pids, signal.SIGCONT)

    def close(self) -> None:
        self._closed = True
        for launcher in self._all:
            self._poller.unwatch(launcher.link.fileno())
            launcher.link.close()
            try:
                os.waitpid(launcher.pid, 0)
            except ChildProcessError:
                continue


def _busy(launcher: Launcher) -> tuple[int, float]:
    """Of those that are asked nothing the one that may spawn where it is, or whose job is the
    oldest."""
    tenant = launcher.at.tenant if launcher.at else None
    return len(launcher.asked), tenant.asked_at if tenant else 0.0
