"""The messages between the supervisor and a launcher. A launcher imports this: it may import little
(launcher.py)."""

import os
import struct

REQUEST = struct.Struct("<BQHH")
"""Kind, request number, number of words in the argument list, number of words in the environment
(names and values). Then follow, each ended by NUL: the cgroup ("": none), the working folder, the
search path, the arguments, the environment, the umask (octal; "" or absent: the launcher's)."""

SPAWN, MOVE, LARGE, BEHIND = 1, 2, 4, 8
"""LARGE is added to the kind if the rest of the request is in a file; its descriptor is the last.
BEHIND is added if the request was sent behind another one that uses the same cgroup."""

ANSWER = struct.Struct("<BQiiQQQ")
"""Kind, request number, then by kind: SPAWNED the process id; ENDED process id, wait status, peak
memory in KiB, user and system time in µs, then EMPTY if its cgroup is known to be empty; FAILED 1
if the program and 0 if the cgroup was the cause, then the reason as text; MOVED, EMPTY (a release
that does not know BEHIND does not send it); OCCUPIED nothing: it was BEHIND a job that goes on, or
has left processes. ENDED without a SPAWNED before it reports the start as well."""

SPAWNED, ENDED, FAILED, MOVED, OCCUPIED = 1, 2, 3, 4, 5
EMPTY = b"\1"

MAX_MESSAGE_BYTES = 200_000
"""Bytes of a message at most; the size of the buffer. The supervisor's own limit is lower."""


class Request:
    def __init__(self, message: memoryview, descriptors: list[int]) -> None:
        kind, self.number, arguments, environment = REQUEST.unpack_from(message)
        rest = bytes(message[REQUEST.size :])
        if kind & LARGE:
            with open(descriptors.pop(), "rb") as file:  # noqa: PTH123
                rest = file.read()
        self.moves_only, self.behind = bool(kind & MOVE), bool(kind & BEHIND)
        self.cgroup, self.folder, self.path, *words = rest.split(b"\0")[:-1]
        self.argv = words[:arguments]
        pairs = words[arguments : arguments + environment]
        self.environment = dict(zip(pairs[::2], pairs[1::2], strict=True))
        self.umask = b"".join(words[arguments + environment :])
        # (0, stdin), (1, stdout), (2, stderr); without the first stdin is the launcher's, /dev/null
        self.streams = list(enumerate(descriptors, 3 - len(descriptors)))

    def close(self) -> None:
        while self.streams:
            stream = self.streams.pop()[1]
            os.closerange(stream, stream + 1)  # which ignores errors: its job may run already
