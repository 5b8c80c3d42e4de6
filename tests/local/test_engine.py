"""The demo says why it leaves out the job in a container."""

import socket
import threading
from pathlib import Path

import pytest

from hodei.local import engine


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("tcp://127.0.0.1:2375", "expected unix://PATH"),
        ("", "expected unix://PATH"),
        ("unix:///nowhere/docker.sock", "there is no /nowhere/docker.sock"),
        ("unix:///tmp", "no Docker Engine answers at /tmp"),
    ],
)
def test_no_engine(host: str, reason: str) -> None:
    assert reason in engine.why_not(host)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nOK", ""),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "is no Docker Engine"),
        (b"", "is no Docker Engine"),
    ],
)
def test_what_answers(tmp_path: Path, answer: bytes, reason: str) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def reply() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        assert (reason or "nothing") in (engine.why_not(f"unix://{path}") or "nothing")
        thread.join()
