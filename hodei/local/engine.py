"""Whether a Docker Engine answers on this machine, for the demo."""

import os
import socket
from pathlib import Path

DEFAULT = "/var/run/docker.sock"

ANSWERS_WITHIN_S = 3.0

PING = b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n"


def flags_of_worker() -> tuple[str, ...]:
    """The flags by which a worker also runs containers. Where no engine answers: none, and the reason
    is printed."""
    host = os.environ.get("DOCKER_HOST", f"unix://{DEFAULT}")
    if reason := why_not(host):
        print(f"the job in a container is left out: {reason}")
        return ()
    path = host.removeprefix("unix://")
    return ("--executor", "process", "--executor", "docker", "--docker-socket", path)


def why_not(host: str) -> str:
    """Why a worker cannot use the engine at `host`, as DOCKER_HOST has it; empty if it can."""
    path = host.removeprefix("unix://")
    if path == host:
        return f"DOCKER_HOST is {host!r}: expected unix://PATH"
    if not Path(path).exists():
        return f"there is no {path}"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWERS_WITHIN_S)
            connection.connect(path)
            connection.sendall(PING)
            answer = connection.recv(4096)
    except (OSError, ValueError) as error:
        return f"no Docker Engine answers at {path}: {getattr(error, 'strerror', None) or error}"
    if b" 200 " not in answer.partition(b"\r\n")[0]:
        return f"what answers at {path} is no Docker Engine"
    return ""
