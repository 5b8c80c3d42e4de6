"""The launchers as processes: how many there are, and their end."""

import signal
import sys
import time
from collections.abc import Callable

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.answers import Answers
from hodei_worker.supervisor.spawn import COUNT, HANGS_S, Launcher

REPLACE_S = 1.0
"""Seconds after which a launcher that hangs gets another one beside it, if jobs wait."""

MOST_LAUNCHERS = 64
"""When starts hang in all of these, no job starts until a launcher goes on or is killed."""

END_WITHIN_S = 1.0
"""Seconds to wait for the end of launchers that were killed. One that hangs may not end."""


class Crew:
    def __init__(
        self,
        ids: list[int],
        answers: Answers,
        on_answers: Callable[[Launcher], None],
        on_death: Callable[[Launcher], None],
    ) -> None:
        """`ids`: uid, gid and groups of the job user, if there is one. `on_answers` is called when
        answers are there, `on_death` when it has ended and all its answers are read."""
        self.all: list[Launcher] = []  # those that live
        self._ids = ids
        self._answers = answers
        self._on_answers = on_answers
        self._on_death = on_death
        self._is_refused = False

    @property
    def pids(self) -> set[int]:
        return {one.pid for one in self.all}

    def start_one(self) -> Launcher:
        """OSError if the kernel refuses it."""
        launcher = Launcher.start(self._ids)
        self.all.append(launcher)
        try:
            self._answers.watch(launcher.link.fileno(), lambda: self._on_answers(launcher))
        except OSError:
            self.remove(launcher)
            raise
        return launcher

    def try_to_start_one(self) -> Launcher | None:
        """Says why it is not possible once, until it is possible again."""
        try:
            launcher = self.start_one()
        except OSError as error:
            if not self._is_refused:
                print(f"cannot start a launcher: {error}", file=sys.stderr, flush=True)
            self._is_refused = True
            return None
        self._is_refused = False
        if len(self.all) > COUNT:
            print(f"starts hang: launcher {launcher.pid} is one more", file=sys.stderr, flush=True)
        return launcher

    def see_deaths(self) -> None:
        """Reads the last answers of launchers that are dead, and says that they are."""
        for launcher in [one for one in self.all if one.is_dead]:
            self._on_answers(launcher)
            if launcher in self.all:
                self._on_death(launcher)

    @property
    def needs_looks(self) -> bool:
        """Whether a launcher may hang, is missing, or is one too many."""
        return len(self.all) != COUNT or any(one.pending for one in self.all)

    def hanging(self) -> list[Launcher]:
        return [one for one in self.all if one.hangs]

    def lacks_one(self, *, jobs_wait: bool) -> bool:
        """Whether another one is needed, because one is dead or hangs. While one does not even begin
        with its request, this host has no processor for more."""
        if len(self.all) < COUNT:
            return True
        late = [one for one in self.all if one.has_waited(HANGS_S)]
        hanging = [one for one in late if one.hangs]
        wanted = jobs_wait and any(one.has_waited(REPLACE_S) for one in hanging)
        has_room = len(self.all) < min(COUNT + len(hanging), MOST_LAUNCHERS)
        return wanted and has_room and len(hanging) == len(late)

    def has_too_many(self) -> bool:
        return len(self.all) - len(self.hanging()) > COUNT

    def remove(self, launcher: Launcher) -> None:
        """Ends it and waits for it. From now on its children are ours."""
        kin.send_signal([launcher.pid], signal.SIGKILL)
        self._forget(launcher, time.monotonic() + END_WITHIN_S)

    def _forget(self, launcher: Launcher, until: float) -> None:
        self.all.remove(launcher)
        self._answers.unwatch(launcher.link.fileno())
        launcher.link.close()
        while not launcher.is_dead and time.monotonic() < until:
            time.sleep(0.001)
        kin.reap([launcher.pid])
        if not launcher.is_dead:
            print(f"launcher {launcher.pid} does not end", file=sys.stderr, flush=True)

    def continue_all(self) -> None:
        """Continues launchers that a job has stopped with SIGSTOP."""
        kin.send_signal(self.pids, signal.SIGCONT)

    def close(self) -> None:
        kin.send_signal(self.pids, signal.SIGKILL)
        until = time.monotonic() + END_WITHIN_S
        while self.all:
            self._forget(self.all[-1], until)
