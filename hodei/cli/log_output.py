"""Chunks of logs on our own output: stdout to stdout, stderr to stderr, to the byte."""

import sys
from datetime import UTC, datetime
from typing import Any, BinaryIO

from hodei.cli.say import say
from hodei.domain.text import shown

STDERR, NOTICE = 2, 3


class Printer:
    """Writes chunks, and says where the next attempt begins. With `timestamps` each line of each
    stream has a prefix, also a line that spans chunks."""

    def __init__(self, *, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._at_line_start = {1: True, 2: True}
        self._lease = 0

    def write(self, chunk: Any) -> None:
        if self._lease and chunk.lease != self._lease:
            say(
                f"hodei: attempt {chunk.attempt}{' (late: it had been given up)' if chunk.late else ''}"
            )
        self._lease = chunk.lease
        if chunk.stream == NOTICE:
            say(f"hodei: {shown(chunk.data.decode(errors='replace').rstrip())}")
            return
        out: BinaryIO = sys.stderr.buffer if chunk.stream == STDERR else sys.stdout.buffer
        out.write(self._stamped(chunk) if self._timestamps else chunk.data)
        out.flush()

    def _stamped(self, chunk: Any) -> bytes:
        stamp = (
            datetime.fromtimestamp(chunk.read_unix_us / 1e6, UTC)
            .strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
            .encode()
            + b"Z "
        )
        starts = self._at_line_start[chunk.stream]
        ends = chunk.data.endswith(b"\n")
        self._at_line_start[chunk.stream] = ends
        body: bytes = chunk.data[:-1] if ends else chunk.data
        return (
            (stamp if starts else b"")
            + body.replace(b"\n", b"\n" + stamp)
            + (b"\n" if ends else b"")
        )
