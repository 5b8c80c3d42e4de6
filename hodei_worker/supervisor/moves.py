"""Which cgroup each launcher is in, and when it moves to another one."""

import signal
import sys
import time
from collections.abc import Callable

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.cgroups import Cgroup, Cgroups
from hodei_worker.supervisor.spawn import HANGS_S, Launcher, Spawn

MOVE_OUT_S = 0.03
"""Seconds after a spawn when the launcher moves to an empty cgroup, so that the next job need not
wait for the move. A shorter job leaves its cgroup empty, and no move is needed."""

MOST_REFUSALS = 10
"""Number of cgroups that could not be entered after which jobs are started without cgroups."""


class Moves:
    """Without cgroups it does nothing."""

    def __init__(
        self,
        cgroups: Cgroups | None,
        launchers: list[Launcher],
        call_later: Callable[..., object],
        send_move: Callable[[Launcher, Cgroup], None],
    ) -> None:
        """`launchers`: the living ones; the caller changes the list. `send_move` tells a launcher to
        enter the cgroup; it may raise OSError."""
        self._cgroups = cgroups
        self._launchers = launchers
        self._call_later = call_later  # loop.call_later
        self._send_move = send_move
        self._refusals = 0
        self._is_scheduled = False

    def settle(self, launcher: Launcher, spawn: Spawn) -> bool:
        """Finds a cgroup for the spawn, which is sent to the launcher now. Returns whether another
        spawn has it before."""
        if self._cgroups is None:
            return False
        at = launcher.cgroup
        if at is None or (at.tenant is not None and not launcher.pending):
            self._assign(launcher, at := self._cgroups.take_cgroup())
        spawn.cgroup = at
        self.move_out_later()
        if at.tenant is None:
            at.tenant = spawn
            return False
        return True

    def _assign(self, launcher: Launcher, cgroup: Cgroup) -> None:
        launcher.cgroup = cgroup
        launcher.may_be_in.add(cgroup)
        cgroup.guests.add(launcher.pid)

    def move_out(self, launcher: Launcher) -> None:
        """Moves the launcher out of the cgroup where it is. It stays if it cannot be told."""
        if self._cgroups is None:
            return
        cgroup = None
        try:
            cgroup = self._cgroups.take_cgroup()
            self._send_move(launcher, cgroup)
        except OSError as error:
            if cgroup:
                self._cgroups.give_back(cgroup)
            words = f"launcher {launcher.pid} cannot be told to move: {error}"
            print(words, file=sys.stderr, flush=True)
            return
        self._assign(launcher, cgroup)

    def repeat(self, launcher: Launcher) -> None:
        """Tells the launcher again where to be; the request that said so was taken back."""
        if self._cgroups and launcher.cgroup:
            try:
                self._send_move(launcher, launcher.cgroup)
            except OSError:
                return  # the next request says it as well; it counts as a guest there until then

    def move_out_later(self) -> None:
        """A job was sent to a launcher, or is known to go on."""
        if self._cgroups and not self._is_scheduled:
            self._is_scheduled = True
            self._call_later(MOVE_OUT_S, self._move_all_out)

    def _move_all_out(self) -> None:
        """Moves every launcher out of the cgroup of a job that was sent to it MOVE_OUT_S ago. Repeats
        as long as a launcher that does not hang is in a job's cgroup."""
        self._is_scheduled = False
        now = time.monotonic()
        for launcher in self._launchers:
            tenant = launcher.cgroup.tenant if launcher.cgroup else None
            if tenant is None:
                continue
            if not launcher.pending and now - tenant.requested_at >= MOVE_OUT_S:
                self.move_out(launcher)
            elif not launcher.has_waited(HANGS_S):
                self.move_out_later()

    def vacate(self, cgroup: Cgroup) -> bool:
        """Tells the launchers to leave the cgroup. Returns whether none is in it, so that it may be
        killed."""
        for launcher in self._launchers:
            if launcher.cgroup is cgroup:
                self.move_out(launcher)
        return not cgroup.guests

    def leave(self, launcher: Launcher, spawn: Spawn) -> None:
        """The job has left its cgroup, or never was in it. The launcher stays there, for the next
        job."""
        if spawn.cgroup and spawn.cgroup.tenant is spawn:
            behind = (one.spawn for one in launcher.pending if one.cgroup is spawn.cgroup)
            spawn.cgroup.tenant = next(behind, None)
            if spawn.cgroup.tenant is None and launcher.cgroup is not spawn.cgroup:
                self.give_back(spawn.cgroup)

    def give_back(self, cgroup: Cgroup) -> None:
        """The cgroup's job has ended and has left no process in it."""
        cgroup.tenant = None
        if self._cgroups and not any(one.cgroup is cgroup for one in self._launchers):
            self._cgroups.give_back(cgroup)

    def on_entered(self, launcher: Launcher, cgroup: Cgroup | None) -> None:
        """The launcher has left its other cgroups, except those that pending requests, or the next
        one, name."""
        if len(launcher.may_be_in) < 2:
            return
        stays = {cgroup, launcher.cgroup, *(pending.cgroup for pending in launcher.pending)}
        for left in launcher.may_be_in - stays:
            left.guests.discard(launcher.pid)
            launcher.may_be_in.discard(left)

    def on_refused(self, launcher: Launcher, cgroup: Cgroup, words: str) -> None:
        """The cgroup is gone; only root can have removed it. After MOST_REFUSALS of them jobs are
        started without cgroups, by launchers that have never been in one."""
        print(f"a launcher cannot enter a cgroup: {words}", file=sys.stderr, flush=True)
        if launcher.cgroup is cgroup:
            launcher.cgroup = None
            self._refusals += 1
        if self._cgroups and self._refusals > MOST_REFUSALS:
            self._cgroups = None
            kin.send_signal([one.pid for one in self._launchers], signal.SIGKILL)

    def on_death(self, launcher: Launcher) -> None:
        """The launcher is no longer in the list."""
        for cgroup in launcher.may_be_in:
            cgroup.guests.discard(launcher.pid)
        if launcher.cgroup and not launcher.cgroup.tenant:
            self.give_back(launcher.cgroup)
