"""Readable descriptors by the hundred: an epoll of our own inside the loop's.

The loop's add_reader and remove_reader cost about 8 µs for each descriptor, and a job has three of
them; a system call alone costs 1 µs."""

import asyncio
import os
import select
from collections.abc import Callable

MOST_AT_ONCE = 256


class Poller:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], object]] = {}
        self._in_order: set[int] = set()
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._dispatch)

    def watch(self, fd: int, handler: Callable[[], object], *, in_order: bool = False) -> None:
        """Calls handler in every turn of the loop in which fd can be read, or is at its end.

        `in_order`: only when something comes, and those in the order in which it came, also when
        the loop is late. (The kernel puts what is watched otherwise back into its list when it has
        told of it, ahead of what comes next.) A handler that leaves something unread asks for
        `again`."""
        self._epoll.register(fd, select.EPOLLIN | (select.EPOLLET if in_order else 0))
        self._handlers[fd] = handler
        if in_order:
            self._in_order.add(fd)

    def rearm(self, fd: int) -> None:
        """Of one watched in order: what is left to read is told of once more."""
        self._epoll.modify(fd, select.EPOLLIN | select.EPOLLET)

    def unwatch(self, fd: int) -> None:
        if self._handlers.pop(fd, None):
            self._in_order.discard(fd)
            self._epoll.unregister(fd)

    def close(self, fd: int) -> None:
        """Not by closing alone: a process that is being spawned holds a copy until it becomes its
        program, and the epoll would go on to tell of it, by a number that is somebody else's by
        then."""
        self.unwatch(fd)
        os.close(fd)

    def _dispatch(self) -> None:
        for fd, event in self._epoll.poll(0, MOST_AT_ONCE):
            if handler := self._handlers.get(fd):  # one before it may have closed it
                handler()
                if event & select.EPOLLHUP and fd in self._in_order:
                    self.rearm(fd)  # its end is told of once, and may lie behind what was read
