"""Signals while a command follows jobs: Ctrl-C, SIGTERM and SIGHUP end the command, not the job."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hodei.cli.exit_codes import INTERRUPTED, OF_A_SIGNAL

SECOND_WITHIN_S = 2.0
"""Seconds after a Ctrl-C within which a second one cancels the job."""


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP. It interrupts whatever Ctrl-C interrupts."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.name = signal.Signals(number).name
        self.exit_code = OF_A_SIGNAL + number


class TimeIsUp(KeyboardInterrupt):
    """The time limit of `within` has passed. It interrupts whatever Ctrl-C interrupts."""

    number = signal.SIGALRM  # as that of Stopped, for protocol/interrupts.lose_none


def code_of(interrupt: KeyboardInterrupt) -> int:
    """The exit code of a command that was interrupted."""
    return interrupt.exit_code if isinstance(interrupt, Stopped) else INTERRUPTED


@contextmanager
def stoppable() -> Iterator[None]:
    """Raises Stopped for SIGTERM and SIGHUP. One that our parent has told us to ignore (nohup)
    stays ignored."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    with _handled((signal.SIGTERM, signal.SIGHUP), signal.SIG_DFL, stop):
        yield


@contextmanager
def first_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """Calls `act` for the first Ctrl-C, in the middle of whatever goes on; a second one raises
    KeyboardInterrupt as usual."""

    def first(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        act()

    with _handled((signal.SIGINT,), signal.default_int_handler, first):
        yield


LONGEST_S = 1e9
"""Seconds that the system's timer takes: thirty years."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises TimeIsUp after `seconds`, in the middle of whatever goes on."""

    def up(_number: int, _frame: FrameType | None) -> None:
        raise TimeIsUp

    with _handled((signal.SIGALRM,), signal.SIG_DFL, up):
        signal.setitimer(signal.ITIMER_REAL, min(max(seconds, 1e-3), LONGEST_S))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def _handled(numbers: tuple[signal.Signals, ...], before: Any, handler: Any) -> Iterator[None]:
    """Handles signals whose handler is still `before`; afterwards it is that again."""
    mine = [number for number in numbers if signal.getsignal(number) == before]
    for number in mine:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, before)


def interrupts_can_follow() -> bool:
    """Whether somebody may press Ctrl-C again: this process has a terminal. The SIGINT of a program
    comes once, and the program waits for us to end."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def another_follows() -> bool:
    """Waits SECOND_WITHIN_S for a second Ctrl-C, and returns whether it came."""
    try:
        time.sleep(SECOND_WITHIN_S)
    except KeyboardInterrupt:
        return True
    return False
