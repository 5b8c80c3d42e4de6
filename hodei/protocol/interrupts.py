"""A Ctrl-C while a program starts."""

import signal


def end_at_once() -> bool:
    """Lets a Ctrl-C end this process by the signal until somebody handles it: there is nothing to be
    tidied, and a traceback of an import would tell nobody anything. Returns whether it has done so:
    who was told to ignore the signal goes on to ignore it."""
    is_heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return is_heeded
