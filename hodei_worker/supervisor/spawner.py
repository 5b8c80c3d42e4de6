"""Spawns processes beside the loop: posix_spawn keeps its thread until the child has become its program, and meanwhile the loop goes on.

Through ctypes, because os.posix_spawn holds the interpreter for that time, and cannot set the child's folder. It is glibc's or musl's
posix_spawn in its vfork form: fast whatever this process holds, and no Python runs in the child.
"""

import ctypes
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from hodei_worker.supervisor.poller import Poller

TOLD_AT_ONCE = 8

THREADS = 2
"""Spawns at a time; the kernel does one in about 0.1 ms, half of it waiting."""

SETSID, SETSIGMASK, SETSIGDEF = 0x80, 0x08, 0x04
DEFAULTED = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM)

OPAQUE_BYTES = 1024
"""For posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t: 336, 80 and 128 bytes with glibc."""

Answer = Callable[[int, int], None]
"""Called in the loop with the process id and 0, or with 0 and the errno."""


class Spawn(NamedTuple):
    program: str
    argv: list[str]
    environment: dict[str, str]
    workdir: str
    stdin: str
    stdout: int
    stderr: int


class Spawner:
    """`pids` is told of a process before anybody else can hear of it."""

    def __init__(self, poller: Poller, pids: set[int]) -> None:
        self._pids = pids
        self._todo: queue.SimpleQueue[tuple[Spawn, Answer]] = queue.SimpleQueue()
        self._done: deque[tuple[Answer, int, int]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._libc: Any = ctypes.CDLL(None)
        self._attributes = self._make_attributes()
        self.in_flight = 0
        poller.watch(self._wake, self._answer)
        for number in range(THREADS):
            threading.Thread(target=self._work, name=f"spawn-{number}", daemon=True).start()

    def spawn(self, wanted: Spawn, answer: Answer) -> None:
        """In a session of its own, with nothing open but stdin, stdout and stderr; ValueError: a NUL in what a program is to be given."""
        if "\0" in wanted.program or any("\0" in word for word in (*wanted.argv, *wanted.environment, *wanted.environment.values())):
            raise ValueError("embedded null byte")
        self.in_flight += 1
        self._todo.put((wanted, answer))

    def _answer(self) -> None:
        os.eventfd_read(self._wake)
        while self._done:
            answer, pid, error = self._done.popleft()
            self.in_flight -= 1
            answer(pid, error)

    def _make_attributes(self) -> Any:
        attributes, none, defaulted = (ctypes.create_string_buffer(OPAQUE_BYTES) for _ in range(3))
        libc = self._libc
        libc.posix_spawnattr_init(attributes)
        libc.sigemptyset(none)
        libc.sigemptyset(defaulted)
        for number in DEFAULTED:
            libc.sigaddset(defaulted, int(number))
        libc.posix_spawnattr_setsigmask(attributes, none)
        libc.posix_spawnattr_setsigdefault(attributes, defaulted)
        libc.posix_spawnattr_setflags(attributes, ctypes.c_short(SETSID | SETSIGMASK | SETSIGDEF))
        return attributes

    def _work(self) -> None:
        actions, pid = ctypes.create_string_buffer(OPAQUE_BYTES), ctypes.c_int()
        while True:
            wanted, answer = self._todo.get()
            error = self._spawn(wanted, actions, pid)
            if not error:
                self._pids.add(pid.value)
            self._done.append((answer, 0 if error else pid.value, error))
            if self._todo.empty() or len(self._done) >= TOLD_AT_ONCE:
                os.eventfd_write(self._wake, 1)

    def _spawn(self, wanted: Spawn, actions: Any, pid: Any) -> int:
        libc = self._libc
        libc.posix_spawn_file_actions_init(actions)
        try:
            libc.posix_spawn_file_actions_addopen(actions, 0, os.fsencode(wanted.stdin), os.O_RDONLY, 0)
            libc.posix_spawn_file_actions_adddup2(actions, wanted.stdout, 1)
            libc.posix_spawn_file_actions_adddup2(actions, wanted.stderr, 2)
            libc.posix_spawn_file_actions_addchdir_np(actions, os.fsencode(wanted.workdir))
            argv = _strings(wanted.argv)
            environment = _strings([f"{name}={value}" for name, value in wanted.environment.items()])
            program = os.fsencode(wanted.program)
            return int(libc.posix_spawn(ctypes.byref(pid), program, actions, self._attributes, argv, environment))
        finally:
            libc.posix_spawn_file_actions_destroy(actions)


def _strings(words: list[str]) -> Any:
    """A NULL-terminated array, as C wants it."""
    return (ctypes.c_char_p * (len(words) + 1))(*map(os.fsencode, words))
