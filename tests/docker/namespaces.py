"""Network namespaces of engines: what listens in one."""

import ctypes
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000


def in_network_of(pid: int, call: Callable[[], T]) -> T:
    """Returns what a call returns in the namespace of a process. A socket that it makes stays there;
    only the thread that makes it, one of its own, is in that namespace."""

    def enter() -> T:
        with Path(f"/proc/{pid}/ns/net").open() as namespace:
            assert ctypes.CDLL(None).setns(namespace.fileno(), CLONE_NEWNET) == 0
        return call()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(enter).result()


def listener_on_loopback() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))
