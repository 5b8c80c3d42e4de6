"""The real `hodei` program as a process of its own, forked from one that has imported it.

To start Python and import the program takes several times the processor time of a call, and the
suite makes many hundreds of calls. The forked process has its own arguments, environment, folder
and streams, calls what `python -m hodei.cli.main` calls, and ends as Python ends.
"""

import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hodei.protocol import grpc_lines

IMPORTED = (
    "hodei.cli.main",
    "hodei.cli.client",
    "hodei.cli.submit",
    "hodei.domain.spec",
    "hodei.protocol.hodei_pb2_grpc",
    "grpc_health.v1.health_pb2_grpc",
    "yaml",
)
"""What most calls import when they run."""

NUMBER = struct.Struct("i")


class Forker:
    """Starts `hodei` again and again."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, "-m", "tests.forked", str(theirs.fileno())]
            tree = Path(__file__).parents[1]
            subprocess.Popen(words, cwd=tree, pass_fds=[theirs.fileno()])  # ends with this process

    def run(
        self, arguments: Sequence[str], stdin: bytes, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """What subprocess.run returns. TimeoutExpired: it was killed after that many seconds."""
        wanted = {
            "arguments": arguments,
            "environment": dict(os.environ),
            "folder": str(Path.cwd()),
        }
        files = [_file(content) for content in (json.dumps(wanted).encode(), stdin, b"", b"")]
        reader, writer = os.pipe()
        try:
            socket.send_fds(self._link, [b"run"], [*files, writer])
            os.close(writer)
            (pid,) = NUMBER.unpack(os.read(reader, NUMBER.size))
            ended = select.poll()
            ended.register(reader)
            if not ended.poll(timeout * 1000):
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), timeout)
            (code,) = NUMBER.unpack(os.read(reader, NUMBER.size))
            return subprocess.CompletedProcess(arguments, code, *map(_content, files[2:]))
        finally:
            for descriptor in (*files, reader):
                os.close(descriptor)


@functools.cache
def forker() -> Forker:
    return Forker()


def _file(content: bytes) -> int:
    descriptor = os.memfd_create("stream")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _content(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()


def serve(link: socket.socket) -> None:
    """Returns in each process that is to become `hodei`, and when nobody can ask any more."""
    # As `hodei` does before it imports anything of IMPORTED.
    grpc_lines.silence(also_asked_for=False)
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()  # what has been imported stays shared with the processes that are forked
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps them
    while True:
        asked, descriptors, *_ = socket.recv_fds(link, 10, 5)
        if not asked:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            link.close()
            *files, status = descriptors
            if pid := os.fork():
                _tell_end(pid, status)
            os.close(status)
            return _become(*files)
        for descriptor in descriptors:
            os.close(descriptor)


def _tell_end(pid: int, status: int) -> None:
    os.write(status, NUMBER.pack(pid))
    os.write(status, NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


def _become(request: int, *streams: int) -> None:
    wanted = json.loads(_content(request))
    os.close(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    time.tzset()
    os.chdir(wanted["folder"])
    sys.argv = ["hodei", *wanted["arguments"]]


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    from hodei.cli.main import main

    main()
