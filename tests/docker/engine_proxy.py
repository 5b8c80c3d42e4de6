"""A socket in front of a real engine that misbehaves on demand."""

import contextlib
import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

READ_BYTES = 4096

Answer = Callable[[socket.socket], None]
"""Writes an answer of its own to the client, in place of the engine's."""


class EngineProxy:
    """Each request goes to the engine on a connection of its own, which ends with the answer."""

    def __init__(self, path: Path, engine: str) -> None:
        """`path`: of the socket that is made. `engine`: of the engine's."""
        self.path = str(path)
        self._engine = engine
        self._cuts: list[int] = []  # bytes of the next answers to `logs` before they break off
        self._answers: dict[str, Answer] = {}  # expression for `METHOD path` → what is answered
        self.cut = 0  # answers that were cut
        self.asked: list[str] = []  # `METHOD path` of each request

    def cut_logs_after(self, *numbers: int) -> None:
        """The next answers with a log break off after that many bytes."""
        self._cuts += numbers

    @contextlib.contextmanager
    def answering(self, request: str, answer: Answer) -> Iterator[None]:
        """`request`: an expression for `METHOD path`."""
        self._answers[request] = answer
        yield
        del self._answers[request]

    @contextlib.contextmanager
    def serving(self) -> Iterator["EngineProxy"]:
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    proxy._serve(self.rfile.readline(), self)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 100

        with Server(self.path, Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield self
            server.shutdown()

    def _serve(self, line: bytes, handler: socketserver.StreamRequestHandler) -> None:
        head, length = line, 0
        while (header := handler.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            head += header if name.lower() != b"connection" else b""
        body = handler.rfile.read(length)
        request = b" ".join(line.split()[:2]).decode()
        self.asked.append(request)
        client: socket.socket = handler.request
        for expression, answer in list(self._answers.items()):
            if re.search(expression, request):
                answer(client)
                return
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self._engine)
            engine.sendall(head + b"Connection: close\r\n\r\n" + body)
            self._relay(engine, client, most=self._most(request))

    def _most(self, request: str) -> int | None:
        return self._cuts.pop(0) if "/logs?" in request and self._cuts else None

    def _relay(self, engine: socket.socket, client: socket.socket, most: int | None) -> None:
        """Copies the answer; `most`: bytes of it behind its head. The client may leave before."""
        answer, in_body = b"", False
        while data := engine.recv(READ_BYTES):
            if most is not None:
                answer += data
                if not in_body and b"\r\n\r\n" in answer:
                    answer, in_body = answer[answer.index(b"\r\n\r\n") + 4 :], True
                    client.sendall(data[: len(data) - len(answer)])
                    data = answer
                if in_body:
                    client.sendall(data[:most])
                    most -= len(data)
                    if most <= 0:
                        self.cut += 1
                        return
                    continue
            client.sendall(data)


def chunked(client: socket.socket, pieces: Iterator[bytes]) -> None:
    """Sends an answer of unknown length."""
    client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for piece in pieces:
        client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    client.sendall(b"0\r\n\r\n")
