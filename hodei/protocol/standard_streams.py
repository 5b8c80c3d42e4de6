"""The three standard streams of a program, of which its starter may have closed some."""

import os


def fill() -> None:
    """Opens the null device in the place of those that are closed. Else the next file or socket
    would stand there, and what C libraries and child processes print would be written into it."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
