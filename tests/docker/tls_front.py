"""An engine's socket behind TLS that asks callers for a certificate, as `dockerd --tlsverify` does."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def tls_front(engine: str, folder: Path) -> Iterator[int]:
    """The port at loopback; `folder` has what `hodei tls init` makes."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{folder}/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "server.pem", folder / "server-key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening, context, engine), daemon=True).start()
        yield listening.getsockname()[1]


def _serve(listening: socket.socket, context: ssl.SSLContext, engine: str) -> None:
    with suppress(OSError):
        while True:
            raw, _ = listening.accept()
            threading.Thread(target=_connect, args=(raw, context, engine), daemon=True).start()


def _connect(raw: socket.socket, context: ssl.SSLContext, engine: str) -> None:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as inner:
        outer = context.wrap_socket(raw, server_side=True)
        inner.connect(engine)
        threading.Thread(target=_copy, args=(inner, outer), daemon=True).start()
        _copy(outer, inner)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
