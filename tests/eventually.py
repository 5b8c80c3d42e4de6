"""For the rare wait: asks again until it is true, and says what was last seen when it never is."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def eventually(ask: Callable[[], T], most_s: float = 30.0, every_s: float = 0.03) -> T:
    """The first truthy answer."""
    deadline = time.monotonic() + most_s
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {most_s:g} s; last answer: {answer!r}")
        time.sleep(every_s)
    return answer


def gone(pid: int) -> bool:
    """Ended; a zombie that only waits for its new parent counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
