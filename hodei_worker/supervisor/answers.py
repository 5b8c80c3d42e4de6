"""When the launchers' answers are read: the first after a pause at once, further ones together.

Each answer that is read by itself wakes the supervisor, and an end that it tells wakes the agent. On
a busy host that takes a tenth of their time. An end is told up to GATHER_S later for it."""

import select
from collections.abc import Callable

from hodei_worker.supervisor.poller import Poller

GATHER_S = 0.001
"""Seconds for which answers gather; what the loop can do at least."""

MOST_VAIN = 20
"""Looks in vain, one after the other, after which the kernel tells of the next answer: a start may
hang for long."""


class Answers:
    def __init__(
        self,
        poller: Poller,
        call_later: Callable[..., object],
        at_work: Callable[[], int],
    ) -> None:
        """`call_later`: the loop's. `at_work` returns the number of launchers at work."""
        self._poller = poller
        self._call_later = call_later
        self._at_work = at_work
        self._links = select.epoll()
        self._readers: dict[int, Callable[[], object]] = {}
        self._vain = 0
        poller.watch(self._links.fileno(), self._read)

    def watch(self, link: int, read: Callable[[], object]) -> None:
        """Calls `read` when an answer is there. OSError if the kernel has no room."""
        self._links.register(link, select.EPOLLIN)
        self._readers[link] = read

    def unwatch(self, link: int) -> None:
        if self._readers.pop(link, None):  # not after close
            self._links.unregister(link)

    def close(self) -> None:
        self._poller.unwatch(self._links.fileno())
        self._readers.clear()
        self._links.close()

    def read(self) -> bool:
        """Reads all that is there now. Returns whether there was something."""
        ready = [] if self._links.closed else self._links.poll(0)
        for link, _ in ready:
            if read := self._readers.get(link):  # an earlier one may have unwatched it
                read()
        return bool(ready)

    def _read(self) -> None:
        """Called when an answer has come after a pause."""
        self._poller.unwatch(self._links.fileno())
        self._vain = 0
        self._read_gathered()

    def _read_gathered(self) -> None:
        if self._links.closed:
            return
        found = True  # also if a reader raises
        try:
            found = self.read()
        finally:
            self._vain = 0 if found else self._vain + 1
            if found or (self._at_work() and self._vain < MOST_VAIN):
                self._call_later(GATHER_S, self._read_gathered)
            else:
                self._poller.watch(self._links.fileno(), self._read)
