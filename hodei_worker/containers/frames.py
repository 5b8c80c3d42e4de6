"""Reads what the logs API of a Docker Engine sends: frames of one message each, with its time.

The `local` log driver cuts a job's output into messages: a line, or, of a longer line, pieces of
PIECE_BYTES that have the time of the first one. A message that ends a line ends with LF. Engines
before 23 leave that LF out behind a line of several pieces: it is put back when the next message of
the stream shows that the line has ended. Of the very last line, which may have ended without LF,
nobody knows; it is taken as ended."""

from collections.abc import Iterator
from typing import NamedTuple

from hodei_worker.supervisor.spool import STDERR, STDOUT

HEADER_BYTES = 8
TIME_BYTES = 30
"""Of the time before each message, as 2026-01-31T12:00:00.000000000Z; a blank follows."""

BEFORE_ALL = b"\0" * TIME_BYTES  # less than any time

PIECE_BYTES = 16_384
MOST_FRAME = 1 << 20
"""Bytes of a frame; engines send PIECE_BYTES and the time."""


class BadLog(Exception):
    """The engine sends something else than a log. The message says what."""


class Message(NamedTuple):
    stream: int
    time: bytes  # compares like the time it stands for
    data: bytes


class Frames:
    """Cuts a stream of bytes into messages, as they were sent. A frame may be cut anywhere."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Gives the messages that these bytes complete. Raises BadLog."""
        received = self._received
        received += data
        at, end = 0, len(received)
        view = bytes(received)
        while end - at >= HEADER_BYTES:
            stream, length = view[at], int.from_bytes(view[at + 4 : at + 8], "big")
            body, after = at + HEADER_BYTES, at + HEADER_BYTES + length
            if stream not in (STDOUT, STDERR) or not TIME_BYTES < length <= MOST_FRAME:
                raise BadLog(f"a frame of stream {stream} with {length} bytes")
            if after > end:
                break
            text = body + TIME_BYTES
            if view[text : text + 1] != b" ":
                raise BadLog("a message without its time")
            yield Message(stream, view[body:text], view[text + 1 : after])
            at = after
        del received[:at]


class Lines:
    """Puts the LFs back that an old engine leaves out."""

    def __init__(self, *, old_engine: bool) -> None:
        self._old_engine = old_engine
        self._open: dict[int, bytes] = {}  # stream → time of a line of which no LF has come yet
        self._length: dict[int, int] = {}  # stream → bytes of it

    def mend(self, message: Message) -> Iterator[Message]:
        stream, time, data = message
        if stream in self._open:
            if self._open[stream] == time and data:
                self._length[stream] += len(data)
                if data.endswith(b"\n"):
                    del self._open[stream]
                yield message
                return
            yield Message(stream, self._open.pop(stream), b"\n")
            if not data:
                return
        if not data.endswith(b"\n"):
            self._open[stream], self._length[stream] = time, len(data)
        yield message

    def end(self) -> Iterator[Message]:
        """Called when the container has ended and all was read. (A line of whole pieces that ended
        with LF would have had an empty message behind them.)"""
        for stream, time in self._open.items():
            length = self._length[stream]
            if self._old_engine and length > PIECE_BYTES and length % PIECE_BYTES:
                yield Message(stream, time, b"\n")
        self._open.clear()
