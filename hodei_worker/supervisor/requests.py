"""How a launcher is started, and how it gets a request (launcher.py)."""

import os
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from hodei_worker.supervisor.launcher import LARGE, REQUEST
from hodei_worker.supervisor.spawn import MOST_PENDING, Launcher

MOST_IN_SOCKET = 64_000 // MOST_PENDING
"""Bytes of a request that goes through the socket; a longer one is LARGE. All requests that wait at a
launcher then take a part of the socket's buffer, which is 208 KiB on most hosts. (The kernel counts
up to twice a message's bytes.)"""


def start_launcher(ids: Iterable[int]) -> Launcher:
    """`ids`: uid, gid and groups of the job user, if there is one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    program = str(Path(__file__).with_name("launcher.py"))
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    given = (null, 0), (null, 1), (theirs.fileno(), 3)
    actions = [(os.POSIX_SPAWN_DUP2, descriptor, at) for descriptor, at in given]
    argv = [sys.executable, "-I", "-S", program, "3", *map(str, ids)]
    try:
        pid = os.posix_spawn(sys.executable, argv, {}, file_actions=actions, setsid=True)
    finally:
        theirs.close()
        os.close(null)
    return Launcher(pid, ours)


def send_request(
    link: socket.socket,
    kind: int,
    number: int,
    words: list[str],
    counts: tuple[int, int],
    streams: tuple[int, ...],
) -> None:
    """`words` and `counts`: as launcher.REQUEST says. Never waits. Nothing is raised if the launcher
    is dead: its end is read where its answers are. OSError if the kernel has no room."""
    rest = "\0".join([*words, ""]).encode("utf-8", "surrogateescape")
    large = None
    if len(rest) > MOST_IN_SOCKET:
        large = os.memfd_create("request")
        kind, rest, whole = kind | LARGE, b"", rest
        os.pwrite(large, whole, 0)
        streams = (*streams, large)
    packed = struct.pack(f"{len(streams)}i", *streams)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)] if streams else []
    try:
        link.sendmsg([REQUEST.pack(kind, number, *counts) + rest], ancillary)
    except ConnectionError:
        return
    finally:
        if large is not None:
            os.close(large)
