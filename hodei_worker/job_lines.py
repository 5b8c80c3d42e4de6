"""Log lines about jobs: two for each, those of one frame written together.

Who is busy gathers them until the next frame goes to the server, 0.05 s at most, so that they are
one record to loguru (hodei/protocol/log/writer.py); who is not writes each at once. Either way they
stand here before a server hears of what they say. What a line says is put into words only when its
level is wanted.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import groupby
from typing import Protocol

import orjson
from loguru import logger

from hodei.protocol.log.writer import JobLine, say
from hodei_worker.supervisor.result import UNKNOWN_CHUNKS, Result

GATHER_S = 0.05


class Job(Protocol):
    """What a line names."""

    @property
    def job_id(self) -> str: ...
    @property
    def correlation_id(self) -> str: ...


class JobLines:
    """Bounded by what slots and offers make in GATHER_S; each line ends with its job's names."""

    def __init__(self, worker_id: str) -> None:
        self._actor = f"worker:{worker_id}"  # whose word the audit has for what is said here
        self._told: list[tuple[str, Job, Callable[[], str]]] = []
        self._flushed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, level: str, job: Job, words: Callable[[], str]) -> None:
        self._told.append((level, job, words))
        if len(self._told) > 1:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # there is no loop to gather for
            self.flush()
        else:
            wait_s = max(0.0, self._flushed_at + GATHER_S - time.monotonic())
            self._timer = loop.call_later(wait_s, self.flush)

    def flush(self) -> None:
        """Also before a frame is sent, and at the end of the program."""
        told, self._told = self._told, []
        if not told:
            return
        self._flushed_at = time.monotonic()
        if self._timer:
            self._timer.cancel()
        for level, group in groupby(told, key=lambda one: one[0]):
            lines = (
                JobLine(words(), job.correlation_id, self._actor, job.job_id)
                for _, job, words in group
            )
            say(logger, lines, level)


def command_of(spec: str) -> str:
    """What is run, cut to 200 characters; never its environment."""
    try:
        command = orjson.loads(spec)["command"]
        words = command if isinstance(command, str) else " ".join(command)
    except (ValueError, KeyError, TypeError):  # a row that a hand has set: its start will tell
        words = "(unreadable)"
    return words.replace("\n", "; ")[:200]


def ending(result: Result) -> str:
    """`SUCCEEDED, exit code 0, 0.013 s; LogBatch: 1 chunks`."""
    words = result.outcome + (f" ({result.reason})" if result.reason else "")
    code, chunks = result.exit_code, result.log_chunks
    if message := result.message or ("" if code is None else f"exit code {code}"):
        words += f", {message}"
    number = "an unknown number of" if chunks >= UNKNOWN_CHUNKS else chunks
    return f"Job ended: {words}, {result.run_us / 1e6:.3f} s; LogBatch: {number} chunks"
