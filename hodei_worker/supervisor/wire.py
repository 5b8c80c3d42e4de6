"""The link between agent and supervisor: frames of a JSON header and raw bytes over a unix socket.

A frame is: total length (4 bytes, big-endian), header length (4 bytes), header (JSON object with "op"), payload. The first frame each way
is {"op": "hello", "version": 1}; a supervisor may be older than the agent that adopts its jobs, so headers only ever gain keys.

agent → supervisor   start (lease, job_id, attempt, correlation_id, actor, spec) · stop (lease, outcome, reason, message, grace?)
                     read (lease, seq: send chunks from here on) · ack (lease, seq: all before are stored) · forget (lease)
                     purge (lease, job_id: kill what carries it, nobody knows it) · exit
supervisor → agent   hello (jobs) · started (lease) · chunk (lease, seq, stream, offset, line, read_us) + bytes
                     stopping (lease) · ended (lease, result)
"""

import asyncio
import json
import struct
from typing import Any

VERSION = 1
MOST = 4 << 20
"""Bytes of one frame: a spec of 256 KiB, or a chunk of 64 KiB, with room."""

LENGTHS = struct.Struct(">II")

Header = dict[str, Any]


def encode(header: Header, payload: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return LENGTHS.pack(4 + len(text) + len(payload), len(text)) + text + payload


async def read(reader: asyncio.StreamReader) -> tuple[Header, bytes] | None:
    """None at the end of the connection, also in the middle of a frame: the other side died."""
    try:
        total, header_length = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
        if total > MOST or header_length > total:
            raise ValueError(f"a frame of {total} bytes on the supervisor's socket: expected at most {MOST}")
        rest = await reader.readexactly(total - 4)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return json.loads(rest[:header_length]), rest[header_length:]
