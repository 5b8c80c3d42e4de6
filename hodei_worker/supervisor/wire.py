"""The link between agent and supervisor: frames of a JSON header and raw bytes over a unix socket.

A frame is: total length (4 bytes, big-endian), header length (4 bytes), header (JSON object with
"op"), payload. The first frame each way is {"op": "hello", "version": 1}; a supervisor may be older
than the agent that adopts its jobs, so headers only ever gain keys.

agent → supervisor   start (lease, job_id, attempt, correlation_id, actor, spec) · stop (lease, outcome, reason, message, grace?)
                     read (lease, seq: send chunks from here on, reading: its number) · ack (lease, seq: all before are stored)
                     forget (lease) · purge (lease, job_id: kill what carries it, nobody knows it) · exit
supervisor → agent   hello (jobs, settings: what it was started with) · started (lease) · stopping (lease) · ended (lease, result)
                     warning (words: for whoever looks after this host)
                     chunk (lease, seq, stream, offset, line, read_us, reading: the last `read` that it heard of) + bytes
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import orjson

VERSION = 1
MOST = 4 << 20
"""Bytes of one frame: a spec of 256 KiB, or a chunk of 64 KiB, with room."""

LENGTHS = struct.Struct(">II")

Header = dict[str, Any]
Hear = Callable[[Header, bytes], None]


def encode(header: Header, payload: bytes = b"") -> bytes:
    text = orjson.dumps(header)
    return LENGTHS.pack(4 + len(text) + len(payload), len(text)) + text + payload


class Connection(asyncio.Protocol):
    """One end of the socket. Hands over every frame that a read completes; what is said in one turn
    of the loop leaves in one write.

    What is written is not bounded here: the windows of unacknowledged log bytes bound it.
    `before_write` makes durable what must be so before the other side hears of it."""

    def __init__(self, hear: Hear, before_write: Callable[[], None] = lambda: None) -> None:
        self.hear = hear
        self._before_write = before_write
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._received = bytearray()
        self._said: list[bytes] = []
        self.ended: asyncio.Future[None] = (
            self._loop.create_future()
        )  # with the error that ended it, if it was one of ours

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        at = 0
        try:
            while len(received) - at >= LENGTHS.size:
                total, header_length = LENGTHS.unpack_from(received, at)
                if total > MOST or header_length > total:
                    raise ValueError(
                        f"a frame of {total} bytes on the supervisor's socket: expected at most {MOST}"
                    )
                header_at, end = at + LENGTHS.size, at + 4 + total
                if len(received) < end:
                    break
                payload_at = header_at + header_length
                self.hear(
                    orjson.loads(received[header_at:payload_at]),
                    bytes(memoryview(received)[payload_at:end]),
                )
                at = end
        except Exception as error:  # noqa: BLE001  a fault of ours must end who waits for us, not be logged by the loop
            self._end(error)
            self.close()
            return
        del received[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)

    def send(self, op: str, payload: bytes = b"", **header: Any) -> None:
        """Never waits."""
        if not self._said:
            self._loop.call_soon(self.flush)
        self._said.append(encode({"op": op, **header}, payload))

    def flush(self) -> None:
        said, self._said = self._said, []
        if said and self._transport and not self._transport.is_closing():
            self._before_write()
            self._transport.write(b"".join(said))

    def close(self) -> None:
        """What was said before still leaves."""
        self.flush()
        if self._transport:
            self._transport.close()
