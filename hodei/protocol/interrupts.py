"""A Ctrl-C while a program starts, and one that comes at a bad moment."""

import os
import signal
import sys
import time
from _thread import start_new_thread

SETTLED_S = 0.01
"""Seconds until an interrupt that was lost is sent again: what lost it is over by then."""


def end_at_once() -> bool:
    """Lets a Ctrl-C end this process by the signal until somebody handles it: there is nothing to be
    tidied, and a traceback of an import would tell nobody anything. Returns whether it has done so:
    who was told to ignore the signal goes on to ignore it."""
    is_heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return is_heeded


def lose_none() -> None:
    """Has a signal sent again whose KeyboardInterrupt was raised while Python frees an object, as the
    lock of a module that it has imported. Python only prints such an error, and the program would
    go on as if nobody had pressed Ctrl-C."""
    others = sys.unraisablehook

    def unraisable(lost: "sys.UnraisableHookArgs") -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            start_new_thread(_again, (getattr(lost.exc_value, "number", signal.SIGINT),))
        else:
            others(lost)

    sys.unraisablehook = unraisable


def _again(number: int) -> None:
    time.sleep(SETTLED_S)
    os.kill(os.getpid(), number)
