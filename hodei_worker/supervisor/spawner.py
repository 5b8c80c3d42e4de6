"""Spawns processes beside the loop: posix_spawn keeps its thread until the child has become its program, and meanwhile the loop goes on.

Through ctypes, because os.posix_spawn holds the interpreter for that time, and cannot set the child's folder. It is glibc's or musl's
posix_spawn in its vfork form: fast whatever this process holds, and no Python runs in the child. The loop prepares all that the call
needs: a thread that waits for the interpreter waits for the loop, so it is to need it as little as can be.
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
DEFAULTED = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""All: a job is started as by a login, whatever the supervisor ignores."""

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


class _Call(NamedTuple):
    """What posix_spawn is called with, and who is told."""

    program: bytes
    actions: Any
    argv: Any
    environment: Any
    answer: Answer


class Spawner:
    def __init__(self, poller: Poller) -> None:
        self._todo: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._done: deque[tuple[_Call, int, int]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._waits: Any = ctypes.CDLL(None)  # whose calls let go of the interpreter
        self._quick: Any = ctypes.PyDLL(None)  # whose calls do not
        self._attributes = self._make_attributes()
        poller.watch(self._wake, self._answer)
        for number in range(THREADS):
            threading.Thread(target=self._work, name=f"spawn-{number}", daemon=True).start()

    def spawn(self, wanted: Spawn, answer: Answer) -> None:
        """In a session of its own, with nothing open but stdin, stdout and stderr; ValueError: a NUL in what a program is to be given."""
        environment = [f"{name}={value}" for name, value in wanted.environment.items()]
        if "\0" in "".join((wanted.program, *wanted.argv, *environment)):
            raise ValueError("embedded null byte")
        self._todo.put(_Call(_bytes(wanted.program), self._actions(wanted), _strings(wanted.argv), _strings(environment), answer))

    def _answer(self) -> None:
        os.eventfd_read(self._wake)
        while self._done:
            call, pid, error = self._done.popleft()
            self._quick.posix_spawn_file_actions_destroy(call.actions)
            call.answer(pid, error)

    def _make_attributes(self) -> Any:
        attributes, none, defaulted = (ctypes.create_string_buffer(OPAQUE_BYTES) for _ in range(3))
        libc = self._quick
        libc.posix_spawnattr_init(attributes)
        libc.sigemptyset(none)
        libc.sigemptyset(defaulted)
        for number in DEFAULTED:
            libc.sigaddset(defaulted, int(number))
        libc.posix_spawnattr_setsigmask(attributes, none)
        libc.posix_spawnattr_setsigdefault(attributes, defaulted)
        libc.posix_spawnattr_setflags(attributes, ctypes.c_short(SETSID | SETSIGMASK | SETSIGDEF))
        return attributes

    def _actions(self, wanted: Spawn) -> Any:
        libc, actions = self._quick, ctypes.create_string_buffer(OPAQUE_BYTES)
        libc.posix_spawn_file_actions_init(actions)
        if wanted.stdin == os.devnull:
            libc.posix_spawn_file_actions_adddup2(actions, self._nothing, 0)
        else:
            libc.posix_spawn_file_actions_addopen(actions, 0, _bytes(wanted.stdin), os.O_RDONLY, 0)
        libc.posix_spawn_file_actions_adddup2(actions, wanted.stdout, 1)
        libc.posix_spawn_file_actions_adddup2(actions, wanted.stderr, 2)
        libc.posix_spawn_file_actions_addchdir_np(actions, _bytes(wanted.workdir))
        return actions

    def _work(self) -> None:
        pid, one = ctypes.c_int(), ctypes.c_uint64(1)
        while True:
            call = self._todo.get()
            error = int(
                self._waits.posix_spawn(ctypes.byref(pid), call.program, call.actions, self._attributes, call.argv, call.environment)
            )
            self._done.append((call, 0 if error else pid.value, error))
            if self._todo.empty() or len(self._done) >= TOLD_AT_ONCE:
                self._quick.eventfd_write(self._wake, one)


def _strings(words: list[str]) -> Any:
    """A NULL-terminated array, as C wants it."""
    return (ctypes.c_char_p * (len(words) + 1))(*map(_bytes, words))


def _bytes(word: str) -> bytes:
    """As os.fsencode does it where file names are UTF-8, without asking each time whether they are."""
    return word.encode("utf-8", "surrogateescape")
