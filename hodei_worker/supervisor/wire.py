"""The link between agent and supervisor: frames of a JSON header and raw bytes on a unix socket.

A frame is: total length (4 bytes, big-endian), header length (4 bytes), header (a JSON object with
"op"), payload. Each side sends `hello` first. A supervisor may be older than the agent that adopts
its jobs, so a header may gain keys but never lose one; a receiver ignores keys and operations that
it does not know.

The keys of every header stand here and nowhere else (tests/worker/test_headers.py compares them
with what is sent)."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Literal, NotRequired, TypedDict

import orjson

VERSION = 1
MAX_FRAME_BYTES = 4 << 20
"""Bytes of one frame. A spec has at most 256 KiB and a chunk 64 KiB. A longer frame ends the
connection."""

READ_BYTES = 262_144
"""Of one read of the socket: some chunks of a log. With a quarter of it logs were 6 % slower."""

LENGTHS = struct.Struct(">II")


# ── agent → supervisor ──


class AgentHelloHeader(TypedDict):
    op: Literal["hello"]
    version: int
    keep: bool  # False: all jobs are stopped when the agent goes away


class StartHeader(TypedDict):
    """The payload is the spec as JSON, and behind it the values of secrets."""

    op: Literal["start"]
    lease: int
    job_id: str
    attempt: int
    correlation_id: str
    actor: str
    cluster: NotRequired[str]  # id of the database; releases before did not send it
    secrets: NotRequired[dict[str, int]]  # names, and bytes of their values; absent: none


class SecretsHeader(TypedDict):
    """The payload has the values with which the attempt began, for a supervisor that goes on with
    it and does not have them."""

    op: Literal["secrets"]
    lease: int
    secrets: dict[str, int]  # as in StartHeader


class StopHeader(TypedDict):
    op: Literal["stop"]
    lease: int
    outcome: str
    reason: str
    message: str
    grace: NotRequired[float]  # seconds between TERM and KILL; absent: as the job's spec says


class ReadHeader(TypedDict):
    """The supervisor sends the log again from chunk `seq` on."""

    op: Literal["read"]
    lease: int
    seq: int
    reading: NotRequired[int]  # counts the `read`s of this lease; releases before did not send it


class AckHeader(TypedDict):
    """A server has stored every chunk before `seq`."""

    op: Literal["ack"]
    lease: int
    seq: int


class ForgetHeader(TypedDict):
    """A server has stored the result: the supervisor may remove the attempt's log and result."""

    op: Literal["forget"]
    lease: int


class PurgeHeader(TypedDict):
    """The supervisor kills all processes that carry this lease. It does not know the lease: it was
    given to a supervisor that died, or it is of a leftover."""

    op: Literal["purge"]
    lease: int
    job_id: str


class ExitHeader(TypedDict):
    """The supervisor stops its jobs, if any, and ends."""

    op: Literal["exit"]


class HandOverHeader(TypedDict):
    """The supervisor ends and leaves its attempts running. Only supervisors of containers, which
    another one can go on with, get it."""

    op: Literal["hand_over"]


# ── supervisor → agent ──


class KeptJob(TypedDict):
    """An attempt that the supervisor had before this agent connected."""

    lease: int
    job_id: str
    attempt: int
    correlation_id: str
    actor: str
    started_us: int
    result: dict[str, Any] | None  # None: it runs
    acked: int  # number of its log chunks that a server has stored
    spawned: bool  # its process runs, and `started` was sent because of its start_timeout


class SupervisorHelloHeader(TypedDict):
    op: Literal["hello"]
    version: int
    release: str
    jobs: list[KeptJob]
    settings: NotRequired[Any]  # SupervisorSettings (settings.py); releases before did not send it
    capabilities: NotRequired[
        list[str]
    ]  # as in CapabilitiesHeader; releases before did not send it


class CapabilitiesHeader(TypedDict):
    """What the supervisor can run now, in words of Hello.capabilities, has changed."""

    op: Literal["capabilities"]
    capabilities: list[str]


class Leftover(TypedDict):
    """A container of another worker, on the engine that this one uses."""

    lease: int
    job_id: str
    worker_id: str
    cluster: str  # id of the database that the lease is of


class LeftoversHeader(TypedDict):
    """What was found when the supervisor looked last, if it is not the same as before."""

    op: Literal["leftovers"]
    leftovers: list[Leftover]


class StartedHeader(TypedDict):
    """The process runs. It is sent only for a job with a start_timeout."""

    op: Literal["started"]
    lease: int


class StoppingHeader(TypedDict):
    """A stop has begun: TERM was sent."""

    op: Literal["stopping"]
    lease: int


class EndedHeader(TypedDict):
    op: Literal["ended"]
    lease: int
    result: dict[str, Any]  # Result.as_json (result.py)


class ChunkHeader(TypedDict):
    """The payload is the output."""

    op: Literal["chunk"]
    lease: int
    seq: int
    stream: int
    offset: int  # of the first byte within its stream
    line: int  # line number of the first byte, from 1
    read_us: int  # µs since 1970
    reading: NotRequired[int]  # `reading` of the last `read` that the supervisor has received


class WarningHeader(TypedDict):
    """The agent writes these words to its log, for the person who looks after the host."""

    op: Literal["warning"]
    words: str


AgentHeader = (
    AgentHelloHeader
    | StartHeader
    | SecretsHeader
    | StopHeader
    | ReadHeader
    | AckHeader
    | ForgetHeader
    | PurgeHeader
    | ExitHeader
    | HandOverHeader
)
SupervisorHeader = (
    SupervisorHelloHeader
    | StartedHeader
    | StoppingHeader
    | EndedHeader
    | ChunkHeader
    | WarningHeader
    | CapabilitiesHeader
    | LeftoversHeader
)

OnFrame = Callable[[Any, bytes], None]
"""Gets each frame: its header, one of the types above, and its payload."""


def encode(header: dict[str, Any], payload: bytes = b"") -> bytes:
    text = orjson.dumps(header)
    return LENGTHS.pack(4 + len(text) + len(payload), len(text)) + text + payload


class Connection(asyncio.BufferedProtocol):
    """One end of the socket. All frames that are sent in one turn of the loop leave in one write.

    The bytes that wait to be written have no bound here: the windows of unacknowledged log bytes
    (window.py) bound them. `before_write` is called before each write, so that the caller can make
    durable what the other side is about to learn."""

    def __init__(self, on_frame: OnFrame, before_write: Callable[[], None] = lambda: None) -> None:
        self.on_frame = on_frame
        self._before_write = before_write
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = bytearray(READ_BYTES)  # for each read; asyncio's own would be made anew
        self._received = b""  # the beginning of a frame that is not whole yet
        self._unsent: list[bytes] = []
        self._closed = False
        # It is done when the connection ends; an error of ours that ended it is its exception.
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101
        self._transport = transport
        if self._closed:
            transport.close()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(memoryview(self._buffer)[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Calls `on_frame` for each frame that these bytes complete."""
        whole = self._received + data if self._received else data
        view, at = memoryview(whole), 0
        try:
            while len(view) - at >= LENGTHS.size:
                total, header_length = LENGTHS.unpack_from(view, at)
                if total > MAX_FRAME_BYTES or header_length > total:
                    words = f"a frame of {total} bytes on the supervisor's socket"
                    raise ValueError(f"{words}: expected at most {MAX_FRAME_BYTES}")
                header_at, end = at + LENGTHS.size, at + 4 + total
                if len(view) < end:
                    break
                payload_at = header_at + header_length
                self.on_frame(orjson.loads(view[header_at:payload_at]), bytes(view[payload_at:end]))
                at = end
        except Exception as error:  # noqa: BLE001  `ended` carries it
            self._end(error)
            self.close()
            return
        self._received = bytes(view[at:])

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
        """Never waits. A frame is dropped if the connection has ended."""
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(encode({"op": op, **header}, payload))

    def flush(self) -> None:
        if frames := self._unsent:
            self._unsent = []
            self._before_write()
            if (transport := self._transport) and not transport.is_closing():
                transport.write(b"".join(frames))

    def close(self) -> None:
        """Closes the connection, as soon as it is made, after the frames that were sent before."""
        self._closed = True
        self.flush()
        if self._transport:
            self._transport.close()
