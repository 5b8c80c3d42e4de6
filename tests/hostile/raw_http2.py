"""As much of HTTP/2 as a client needs that does not keep to what gRPC's own clients do."""

import asyncio
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def headers(path: str, credential: str = "") -> bytes:
    """HPACK: what is in the static table by its number, the rest as literals that are not
    indexed."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    authorization = b"\x00" + text("authorization") + text(credential) if credential else b""
    return (
        b"\x83\x86"  # :method POST, :scheme http
        + b"\x04"
        + text(path)
        + b"\x01"
        + text("server")
        + b"\x0f\x10"
        + text("application/grpc")
        + b"\x00"
        + text("te")
        + text("trailers")
        + authorization
    )


def message(body: bytes, length: int | None = None) -> bytes:
    return b"\0" + struct.pack(">I", len(body) if length is None else length) + body


class Connection:
    """`window`: what the server may send of each answer. `over`: the calls to which the server has
    sent a status."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next = 1
        self._room: dict[int, int] = {
            0: 65_535
        }  # what may be sent, of the connection and of each stream
        self._unsent: dict[int, bytes] = {}
        self.over: set[int] = set()

    @classmethod
    async def open(cls, address: str, window: int = 65_535) -> "Connection":
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        writer.write(PREFACE + frame(SETTINGS, 0, 0, settings))
        return cls(reader, writer)

    def call(self, path: str, body: bytes, *, ends: bool = True, credential: str = "") -> None:
        """Its request goes as far as the server opens its window; with `ends` false it is not over,
        and `finish` sends the rest."""
        stream, self._next = self._next, self._next + 2
        self._writer.write(frame(HEADERS, END_HEADERS, stream, headers(path, credential)))
        self._room[stream], self._unsent[stream] = 65_535, body
        self._send(stream, ends=ends)

    def finish(self, stream: int, body: bytes) -> None:
        self._unsent[stream] += body
        self._send(stream, ends=True)

    def _send(self, stream: int, *, ends: bool = False) -> None:
        while (unsent := self._unsent.get(stream)) and (
            size := min(16_384, self._room[0], self._room[stream])
        ):
            part, self._unsent[stream] = unsent[:size], unsent[size:]
            self._room[0] -= len(part)
            self._room[stream] -= len(part)
            last = ends and not self._unsent[stream]
            self._writer.write(frame(DATA, END_STREAM if last else 0, stream, part))

    async def keep(self) -> None:
        """Answers pings and settings, and takes nothing else; returns when the server closes."""
        try:
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] in (PING, SETTINGS) and not head[4] & ACK:
                    self._writer.write(frame(head[3], ACK, 0, payload if head[3] == PING else b""))
                if head[3] == RST_STREAM or (head[3] == HEADERS and head[4] & END_STREAM):
                    self.over.add(int.from_bytes(head[5:], "big"))
                if head[3] == WINDOW_UPDATE:
                    stream = int.from_bytes(head[5:], "big")
                    self._room[stream] = self._room.get(stream, 0) + int.from_bytes(payload, "big")
                    for waiting in [stream] if stream else list(self._unsent):
                        self._send(waiting)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.close()

    def close(self) -> None:
        self._writer.close()
