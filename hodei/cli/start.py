"""The program `hodei`. A Ctrl-C while Python reads our modules ends it at once, by the signal: there
is nothing to be tidied, and an error's traceback would tell nobody anything."""

import signal


def main() -> None:
    """As hodei.cli.main.main. Who was told to ignore the signal goes on to ignore it."""
    is_heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from hodei.cli.main import main as program

    if is_heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    program()
