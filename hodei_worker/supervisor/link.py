"""The socket between the supervisor and a launcher (launcher.py)."""

import os
import socket
import struct

from hodei_worker.supervisor.messages import LARGE, REQUEST

MOST_PENDING = 3
"""Requests that a launcher has at most. It works on one after the other, without a wait for the
supervisor between them."""

MOST_IN_SOCKET = 64_000 // MOST_PENDING
"""Bytes of a request that goes through the socket; a longer one is LARGE. All requests that wait at a
launcher then take a part of the socket's buffer, which is 208 KiB on most hosts. (The kernel counts
up to twice a message's bytes.)"""

ANSWER_BYTES = 4096
"""Bytes of the buffer for an answer; no answer is longer."""


class Link:
    """Both ends of the socket. The supervisor keeps the launcher's end open, so that it can take
    requests back: the kernel gives each message to one reader only. So the socket has no end while
    the supervisor lives, and does not tell of the launcher's death."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        return self._ours.fileno()

    @property
    def launchers_end(self) -> int:
        return self._theirs.fileno()

    def send(
        self,
        kind: int,
        number: int,
        words: list[str],
        counts: tuple[int, int],
        streams: tuple[int, ...],
    ) -> None:
        """`words` and `counts`: as launcher.REQUEST says. Never waits: OSError if the kernel has no
        room."""
        rest = "\0".join([*words, ""]).encode("utf-8", "surrogateescape")
        large = None
        if len(rest) > MOST_IN_SOCKET:
            large = os.memfd_create("request")
            kind, rest, whole = kind | LARGE, b"", rest
            os.pwrite(large, whole, 0)
            streams = (*streams, large)
        packed = struct.pack(f"{len(streams)}i", *streams)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)] if streams else []
        message = [REQUEST.pack(kind, number, *counts) + rest]
        try:
            self._ours.sendmsg(message, ancillary, socket.MSG_DONTWAIT)
        finally:
            if large is not None:
                os.close(large)

    def receive(self) -> bytes | None:
        """Returns an answer; None if there is none now."""
        try:
            return self._ours.recv(ANSWER_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def next_unread(self) -> int | None:
        """Returns the number of the next request that the launcher will read."""
        return self._read_number(socket.MSG_PEEK)

    def take_unread(self) -> set[int]:
        """Takes back all requests that the launcher has not read, and returns their numbers."""
        taken = set()
        while (number := self._read_number(0)) is not None:
            taken.add(number)
        return taken

    def _read_number(self, flags: int) -> int | None:
        """The kernel drops the rest of the message and closes its descriptors, as there is no room for
        them."""
        try:
            message = self._theirs.recv(REQUEST.size, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        return int(REQUEST.unpack(message)[1])

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()
