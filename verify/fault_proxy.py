"""A TCP proxy that misbehaves on demand: the network of the tests. It has a thread of its own:
tests and chaos stay synchronous."""

import asyncio
import socket
import struct
import threading
from dataclasses import dataclass, field
from types import TracebackType


@dataclass(eq=False)
class _Link:
    """One proxied connection. A gate that is closed holds back one direction: to = towards the
    target, back = towards the client."""

    client: asyncio.StreamWriter
    target: asyncio.StreamWriter
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class FaultProxy:
    """`port` forwards to `target` ("host:port"). Each fault is a method; `heal` undoes all but
    cut."""

    def __init__(self, target: str, listener: socket.socket | None = None) -> None:
        """`listener`: where clients connect; None: at a free port of this machine's loopback."""
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._links: set[_Link] = set()
        self._held: set[str] = set()  # directions that are swallowed
        self._bytes_per_s = 0.0
        self._refusing = False
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=self._run, name=f"proxy to {target}", daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # ── faults ──

    def cut(self) -> None:
        """RST on every connection; new ones are taken."""
        self._loop.call_soon_threadsafe(self._cut)

    def refuse(self) -> None:
        """As a host that is down: RST, and new connections get RST too."""
        self._refusing = True
        self.cut()

    def stall(self) -> None:
        """Nothing comes through in either direction, and nobody is told."""
        self._held = {"to", "back"}

    def half_open(self, direction: str) -> None:
        """One direction is dead, the other lives."""
        self._held = {direction}

    def trickle(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s

    def heal(self) -> None:
        """What was held back comes through now, as on a network that lost nothing."""
        self._held, self._bytes_per_s, self._refusing = set(), 0.0, False

    # ── inside the thread ──

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self._listener)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._cut()
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self._loop.close()

    def _cut(self) -> None:
        for link in list(self._links):
            for task in link.tasks:
                task.cancel()
            for writer in (link.client, link.target):
                _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            _reset(writer)
            return
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        link = _Link(writer, target_writer)
        self._links.add(link)
        link.tasks = {
            self._loop.create_task(self._pump(reader, target_writer, "to")),
            self._loop.create_task(self._pump(target_reader, writer, "back")),
        }
        await asyncio.wait(link.tasks)
        self._links.discard(link)
        for end in (writer, target_writer):
            end.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        try:
            while data := await reader.read(65536):
                while direction in self._held:
                    await asyncio.sleep(0.02)
                if self._bytes_per_s:
                    await asyncio.sleep(len(data) / self._bytes_per_s)
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except (OSError, RuntimeError):
            return


def _reset(writer: asyncio.StreamWriter) -> None:
    """close() then sends RST."""
    end = writer.get_extra_info("socket")
    if end is not None and end.fileno() >= 0:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
