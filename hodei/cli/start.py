"""The programs `hodei` and `hodei-server`, of which a Ctrl-C ends none with a traceback while Python
reads our modules."""

import signal

from hodei.protocol import interrupts


def main() -> None:
    """As hodei.cli.main.main."""
    was_heeded = interrupts.end_at_once()
    from hodei.cli.main import main as program

    if was_heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    program()


def server() -> None:
    """As hodei.cli.server.main. The server itself handles the signal as soon as it runs."""
    interrupts.end_at_once()
    from hodei.cli.server import main as program

    program()
