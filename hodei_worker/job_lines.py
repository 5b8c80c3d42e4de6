"""Log lines about jobs: two for each job. The lines of one frame are written together.

A busy worker gathers lines for at most GATHER_S, so that loguru writes them as one record
(hodei/protocol/log/writer.py); an idle worker writes each line at once. In both cases the lines are
written before the server is sent the frame that they describe. The text of a line is made only if
its level is enabled.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple, Protocol

import orjson
from loguru import logger

from hodei.protocol.log.writer import JobLine, say
from hodei_worker.supervisor.result import UNKNOWN_CHUNKS, Result

GATHER_S = 0.05
"""Seconds for which lines are gathered. The session writes them earlier if it sends a frame."""


class Job(Protocol):
    """The two ids that each line about a job ends with."""

    @property
    def job_id(self) -> str: ...
    @property
    def correlation_id(self) -> str: ...


class _PendingLine(NamedTuple):
    level: str
    job: Job
    text: Callable[[], str]


class JobLines:
    """Gathers lines and writes them. The number of slots and offers bounds how many there are."""

    def __init__(self, worker_id: str) -> None:
        self._actor = f"worker:{worker_id}"  # the audit names the same actor for these events
        self._pending: list[_PendingLine] = []
        self._flushed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, level: str, job: Job, text: Callable[[], str]) -> None:
        """Writes the line within GATHER_S; at once if no event loop runs."""
        self._pending.append(_PendingLine(level, job, text))
        if len(self._pending) > 1:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            wait_s = max(0.0, self._flushed_at + GATHER_S - time.monotonic())
            self._timer = loop.call_later(wait_s, self.flush)

    def flush(self) -> None:
        """Writes all gathered lines. It is also called before each frame and at the program's
        end."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        self._flushed_at = time.monotonic()
        if self._timer:
            self._timer.cancel()
        for level, group in groupby(pending, key=lambda line: line.level):
            lines = (
                JobLine(line.text(), line.job.correlation_id, self._actor, line.job.job_id)
                for line in group
            )
            say(logger, lines, level)


def command_of(spec: str) -> str:
    """The command of a spec, cut to 200 characters. Its environment is never shown."""
    try:
        command = orjson.loads(spec)["command"]
        words = command if isinstance(command, str) else " ".join(command)
    except (ValueError, KeyError, TypeError):  # somebody edited the row; the job will fail to start
        words = "(unreadable)"
    return words.replace("\n", "; ")[:200]


def received(lease: int, attempt: int, spec: str, waited_s: float) -> str:
    """The line for a job that a slot has taken. It says for how long the offer waited if that was
    10 ms or more."""
    waited = f", waited {waited_s:.2f} s for a slot" if waited_s >= 0.01 else ""
    about = f"lease {lease}, attempt {attempt}{waited}"
    return f"Received job ({about}). Executing command: {command_of(spec)}"


def returned(lease: int, why: str) -> str:
    """The line for an offer that no slot has taken and that goes back to the server."""
    return f"Received job (lease {lease}): returned, {why}"


def ending(result: Result) -> str:
    """For example `Job ended: SUCCEEDED, exit code 0, 0.013 s; LogBatch: 1 chunks`."""
    words = result.outcome + (f" ({result.reason})" if result.reason else "")
    code, chunks = result.exit_code, result.log_chunks
    if message := result.message or ("" if code is None else f"exit code {code}"):
        words += f", {message}"
    number = "an unknown number of" if chunks >= UNKNOWN_CHUNKS else chunks
    return f"Job ended: {words}, {result.run_us / 1e6:.3f} s; LogBatch: {number} chunks"
