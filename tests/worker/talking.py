"""A launcher, as its supervisor sees it: with its fast path, and without it, as where it could not be
compiled."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from hodei_worker.supervisor import spawn
from hodei_worker.supervisor.messages import ANSWER, LARGE, REQUEST

SUPERVISOR = Path(spawn.__file__).parent
SHELL = "/bin/sh", "-c"
PATH = "/bin:/usr/bin"

needs_fast_path = pytest.mark.skipif(
    find_spec("hodei_worker.supervisor.fast_path") is None, reason="the fast path is not compiled"
)


class Talk:
    def __init__(self, link: socket.socket, pid: int = 0) -> None:
        self._link = link
        self.pid = pid  # the launcher's
        self._number = 0

    def ask(
        self,
        kind: int,
        command: str = "",
        cgroup: str = "",
        *,
        argv: Sequence[str] = (),
        folder: str = "/",
        path: str = PATH,
        environment: Mapping[str, str] = {},
        umask: str = "",
        streams: Sequence[int] | None = None,
    ) -> int:
        """Returns the request's number. Without `streams` a job's are /dev/null."""
        self._number += 1
        argv = argv or ([*SHELL, command] if command else [])
        pairs = [word for pair in environment.items() for word in pair]
        words = [cgroup, folder, path, *argv, *pairs, umask]
        rest = "".join(f"{word}\0" for word in words).encode("utf-8", "surrogateescape")
        with open(os.devnull, "r+b") as null, tempfile.TemporaryFile() as file:  # noqa: PTH123
            given = [null.fileno()] * 2 if streams is None else [*streams]
            if kind & LARGE:
                file.write(rest)
                file.seek(0)
                given, rest = [*given, file.fileno()], b""
            packed = struct.pack(f"{len(given)}i", *given)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)] if argv else []
            head = REQUEST.pack(kind, self._number, len(argv), len(pairs))
            self._link.sendmsg([head + rest], ancillary)
        return self._number

    def answer(self) -> tuple[int, int, bytes]:
        """Its kind, the number of its request, and what follows."""
        kind, number, _, more = self.whole_answer()
        return kind, number, more

    def whole_answer(self) -> tuple[int, int, list[int], bytes]:
        """With the numbers of its kind, as ANSWER says."""
        message = self._link.recv(4096)
        kind, number, *numbers = ANSWER.unpack_from(message)
        return kind, number, numbers, message[ANSWER.size :]


PATIENT = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import launcher
launcher.HOLD_S = float(sys.argv.pop(1))
launcher.main()
"""


@contextmanager
def talking(folder: Path, hold_s: float = 30.0) -> Iterator[Talk]:
    """Starts the launcher of this folder. It waits for so long for the end of a job: by default for
    each job of these tests, however late this host is."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    command = [sys.executable, "-ISc", PATIENT, str(folder), str(hold_s), str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL) as process:
        theirs.close()
        try:
            yield Talk(ours, process.pid)
        finally:
            ours.close()
            process.send_signal(signal.SIGKILL)


def without_fast_path(folder: Path) -> Path:
    """Returns where a launcher is that has nothing compiled: in a copy of its package."""
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(SUPERVISOR.parent, folder / "hodei_worker", ignore=ignored)
    return folder / "hodei_worker/supervisor"
