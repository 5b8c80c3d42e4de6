"""Waits for hundreds of readable descriptors with an epoll of its own inside the loop's.

The loop's add_reader and remove_reader cost about 8 µs for each descriptor, and a job has two or
more; a system call alone costs 1 µs."""

import asyncio
import os
import select
from collections.abc import Callable

MOST_AT_ONCE = 256
"""Events in one turn of the loop; the rest follows in the next turn."""


class Poller:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], object]] = {}
        self._in_order: set[int] = set()
        self._unused: list[select.epoll] = []  # bounded by the agent's slots
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._dispatch)

    def watch(self, fd: int, handler: Callable[[], object], *, in_order: bool = False) -> None:
        """Calls `handler` in every turn of the loop in which fd is readable or at its end.

        With `in_order` it is called only when new data has come, and handlers are called in the
        order in which the data came, also if the loop is late. (Without it the kernel puts a
        reported descriptor back into its list, before those that become ready later.) A handler
        that leaves data unread must call `rearm`."""
        self._epoll.register(fd, select.EPOLLIN | (select.EPOLLET if in_order else 0))
        self._handlers[fd] = handler
        if in_order:
            self._in_order.add(fd)

    def rearm(self, fd: int) -> None:
        """Reports a descriptor that is watched in order once more, for the data that is left."""
        self._epoll.modify(fd, select.EPOLLIN | select.EPOLLET)

    def unwatch(self, fd: int) -> None:
        if self._handlers.pop(fd, None):
            self._in_order.discard(fd)
            self._epoll.unregister(fd)

    def close(self, fd: int) -> None:
        """Unregisters and closes the descriptor. To close it is not enough: a process that is being
        spawned holds a copy until its exec, and the epoll would report that copy under a number
        that belongs to another file by then."""
        self.unwatch(fd)
        os.close(fd)

    def take_epoll(self) -> select.epoll:
        """Returns an epoll that watches nothing, for the caller alone."""
        return self._unused.pop() if self._unused else select.epoll()

    def give_back(self, epoll: select.epoll) -> None:
        """Every descriptor that it watched is closed, and no other process has a copy: the kernel
        has removed them from it."""
        self._unused.append(epoll)

    def _dispatch(self) -> None:
        for fd, event in self._epoll.poll(0, MOST_AT_ONCE):
            if handler := self._handlers.get(fd):  # an earlier handler may have closed it
                handler()
                if event & select.EPOLLHUP and fd in self._in_order:
                    self.rearm(
                        fd
                    )  # the end is reported once, and may come after the data that was read
