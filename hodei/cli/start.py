"""The programs `hodei` and `hodei-server`, of which a Ctrl-C ends none with a traceback while Python
reads our modules."""

import contextlib
import os
import signal
import sys

from hodei.protocol import interrupts


def main() -> None:
    """As hodei.cli.main.main."""
    was_heeded = interrupts.end_at_once()
    from hodei.cli.main import main as program

    if was_heeded:
        interrupts.lose_none()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        program()
    except SystemExit as end:
        if isinstance(end.code, int):
            _leave(end.code)
        raise


def server() -> None:
    """As hodei.cli.server.main. The server itself handles the signal as soon as it runs."""
    interrupts.end_at_once()
    from hodei.cli.server import main as program

    program()


def _leave(code: int) -> None:
    """Ends a process that has used gRPC without the interpreter's last steps: an interrupt may have
    left a thread in the middle of gRPC, with which they can hang or abort. Others it lets go on."""
    if "grpc" not in sys.modules:
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)
