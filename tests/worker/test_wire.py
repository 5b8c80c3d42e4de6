"""Frames between agent and supervisor, however the socket cuts them."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hodei_worker.supervisor.wire import MAX_FRAME_BYTES, Connection, encode
from tests import virtual_clock

Frames = list[tuple[dict[str, Any], bytes]]

SAID: Frames = [
    ({"op": "hello", "version": 1}, b""),
    ({"op": "chunk", "lease": 1, "seq": 0}, b"\x00\xffbytes\n"),
    ({"op": "started", "lease": 2}, b""),
    ({"op": "chunk", "lease": 1, "seq": 1}, bytes(range(40))),
]
BYTES = b"".join(encode(header, payload) for header, payload in SAID)


def heard(pieces: list[bytes]) -> tuple[Frames, str]:
    """What a connection hears of these reads, and the error that ended it."""

    async def story() -> tuple[Frames, str]:
        frames: Frames = []
        connection = Connection(lambda header, payload: frames.append((header, payload)))
        for piece in pieces:
            connection.data_received(piece)
        ended = connection.ended
        return frames, str(ended.exception()) if ended.done() else ""

    return virtual_clock.run(story())


def test_frames_are_heard_whole_wherever_a_read_ends() -> None:
    for cut in range(len(BYTES) + 1):
        assert heard([BYTES[:cut], BYTES[cut:]]) == (SAID, ""), cut


@pytest.mark.parametrize("size", [1, 3, 8, 100, 5000])
def test_reads_of_any_size(size: int) -> None:
    pieces = [BYTES[at : at + size] for at in range(0, len(BYTES), size)]
    assert heard(pieces) == (SAID, "")


def test_half_a_frame_is_not_heard() -> None:
    assert heard([BYTES[:-1]]) == (SAID[:-1], "")


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (
            struct.pack(">II", MAX_FRAME_BYTES + 1, 2) + b"{}",
            f"frame of {MAX_FRAME_BYTES + 1} bytes",
        ),
        (struct.pack(">II", 6, 7) + b"{}", "frame of 6 bytes"),  # a header beyond its frame
        (struct.pack(">II", 6, 2) + b"{]", "unexpected"),
    ],
)
def test_what_is_no_frame_ends_the_connection(frame: bytes, error: str) -> None:
    frames, words = heard([BYTES + frame])
    assert frames == SAID, "what came before counts"
    assert error in words


def test_the_largest_frame_is_taken() -> None:
    payload = b"x" * (MAX_FRAME_BYTES - 100)
    frames, words = heard([encode({"op": "chunk"}, payload)])
    assert words == ""
    assert frames == [({"op": "chunk"}, payload)]


def test_a_fault_of_who_hears_ends_who_waits() -> None:
    async def story() -> str:
        def fails(header: dict[str, Any], payload: bytes) -> None:
            raise KeyError(header["op"])

        connection = Connection(fails)
        connection.data_received(BYTES)
        return repr(connection.ended.exception())

    assert virtual_clock.run(story()) == "KeyError('hello')"


async def over_a_socket(act: Callable[[Connection], Awaitable[None]]) -> list[bytes]:
    """What arrives at the other end, read by read, until it is closed."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    order: list[str] = []
    _, connection = await loop.create_connection(
        lambda: Connection(lambda _header, _payload: None, lambda: order.append("durable")),
        sock=ours,
    )
    with theirs:
        await act(connection)
        connection.close()
        reads = []
        while data := await loop.sock_recv(theirs, 1 << 20):
            reads.append(data)
    assert order == ["durable"] * len(reads), "before each write"
    return reads


def test_what_is_said_in_one_turn_leaves_in_one_write() -> None:
    async def act(connection: Connection) -> None:
        for header, payload in SAID:
            connection.send(header["op"], payload, **{k: header[k] for k in header if k != "op"})

    assert virtual_clock.run(over_a_socket(act)) == [BYTES]


def test_what_was_said_before_the_end_still_leaves() -> None:
    async def act(connection: Connection) -> None:
        connection.send("started", lease=1)

    assert virtual_clock.run(over_a_socket(act)) == [encode({"op": "started", "lease": 1})]


def test_a_connection_that_is_closed_before_it_is_made_ends(tmp_path: Path) -> None:
    """So a supervisor turns a second agent away; it would wait for an answer for ever."""

    async def story() -> bytes:
        loop = asyncio.get_running_loop()

        def turn_away() -> Connection:
            connection = Connection(lambda header, payload: None)
            connection.close()
            return connection

        async with await loop.create_unix_server(turn_away, str(tmp_path / "socket")):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
            async with asyncio.timeout(30):
                read = await reader.read()
            writer.close()
            return read

    assert asyncio.run(story()) == b""
