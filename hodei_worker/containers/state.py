"""What an engine says of a container, and the result that follows from it."""

import re
from datetime import datetime
from typing import Any, NamedTuple

from hodei.protocol.words import Outcome, Reason
from hodei_worker.containers.engine import EngineError, shown
from hodei_worker.supervisor.result import Result, failed, lost

REMOVED = "container removed by somebody else"

STOP_SIGNAL = "SIGTERM"  # where neither the image nor the container names one

NO_TIME = "0001-01-01"  # how an engine writes that something has not happened

NOT_STARTED = re.compile(rb"\[FATAL tini \(\d+\)\] exec (.*) failed: (.*)\n?", re.DOTALL)
"""What the engine's init writes if it cannot start the job's program."""

KILLED_CODES = {137, 143, 255}
"""Exit codes of containers that an engine has ended because it was stopped or started."""


class Ended(NamedTuple):
    """How a container ended."""

    exit_code: int
    out_of_memory: bool
    removing: bool  # somebody removes it
    error: str  # the engine's words
    by_engine: bool = False  # the engine was restarted, and ended it
    unseen: bool = False  # the engine was away when it ended: what it wrote then may be lost

    @property
    def was_killed(self) -> bool:
        return self.exit_code in KILLED_CODES

    def result(self, first_error: bytes) -> Result:
        """`first_error`: the beginning of what the container wrote to stderr."""
        code = self.exit_code
        if self.removing:
            return Result.of(failed(Reason.INTERNAL, REMOVED), exit_code=code)
        if self.by_engine:
            return Result.of(lost("the Docker Engine was restarted and ended the container"))
        if code == 0:
            return Result(Outcome.SUCCEEDED, exit_code=0)
        if self.out_of_memory:
            words = "killed by the kernel: the container's memory limit is reached"
            return Result.of(failed(Reason.OOM_KILLED, words), exit_code=code)
        if code in (126, 127) and (found := NOT_STARTED.fullmatch(first_error)):
            program, why = (shown(part.decode(errors="replace")) for part in found.groups())
            return Result.of(failed(Reason.START_FAILED, f"{program}: {why}"))
        words = f"exit code {code}" + (f": {self.error}" if self.error else "")
        return Result.of(failed(Reason.EXIT_NONZERO, words), exit_code=code)


class State(NamedTuple):
    """A container at one moment."""

    started: float  # seconds since 1970; 0: it was not started
    stop_signal: str
    has_memory_limit: bool
    ended: Ended | None  # None: it runs, or was not started


def state_of(said: Any) -> State:
    """Reads the engine's description of a container. Raises EngineError if it is none."""
    try:
        state, config = said["State"], said["Config"]
        started = _seconds(state["StartedAt"])
        over = bool(started) and not (state["Running"] or state["Restarting"])
        ended = Ended(
            int(state["ExitCode"]) & 0xFF,
            bool(state["OOMKilled"]),
            state["Status"] == "removing" or bool(state["Dead"]),
            shown(str(state["Error"])),
        )
        stop_signal = str(config.get("StopSignal") or STOP_SIGNAL)
        limited = bool(said["HostConfig"]["Memory"])
        return State(started, stop_signal, limited, ended if over else None)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise EngineError(0, "the Docker Engine does not describe the container") from None


def _seconds(time: str) -> float:
    """Reads a time with nine places; 0 for a time that means never."""
    if time.startswith(NO_TIME):
        return 0.0
    return datetime.fromisoformat(time[:19] + "+00:00").timestamp()
