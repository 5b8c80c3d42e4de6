"""`python child.py PARENT SIGNAL ARGV…`: becomes ARGV, and is told to end (SIGTERM) when its parent
dies.

An exec wrapper, so that no parent needs code between fork and exec. Only the standard library is
imported: nothing of the current folder or the environment is looked at.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, number, *argv = sys.argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != int(parent):  # it died before we asked
        sys.exit(1)
    os.execvp(argv[0], argv)


def wrapped(argv: list[str], number: signal.Signals = signal.SIGTERM) -> list[str]:
    """The command line that runs argv so, for a child of this very process (and thread: the main
    one)."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(number)), *argv]


if __name__ == "__main__":
    main()
