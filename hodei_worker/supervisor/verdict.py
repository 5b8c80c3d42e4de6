"""The result of a process: made from its wait status and from the reason why it was stopped, with a
message for the job's owner."""

import os
import signal
from collections.abc import Callable

from hodei.protocol.words import Outcome, Reason
from hodei_worker.supervisor import kin
from hodei_worker.supervisor.result import Cause, Result, failed
from hodei_worker.supervisor.spawn import Exit

DISK_FULL = "the worker's disk is full: the job's log cannot be kept"


def verdict(
    ended: Exit | None, cause: Cause | None, memory_was_short: Callable[[], bool]
) -> Result:
    """`ended`: None if the process was never started. If we stopped it, `cause` decides the
    outcome, whatever the exit code is."""
    result = Result(Outcome.SUCCEEDED)
    if ended is not None:
        status, usage = ended
        result = _as_it_ended(status)
        if _was_killed(status) and cause is None and memory_was_short():
            words = "killed by the kernel: the worker's memory is short"
            result.set_cause(failed(Reason.OOM_KILLED, words))
        result.peak_memory_bytes = usage.ru_maxrss * 1024
        result.cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6)
    if cause:
        result.set_cause(cause)
    return result


def _as_it_ended(status: int) -> Result:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return Result.of(failed(Reason.SIGNALED, f"ended by signal {_name(number)}"), signal=number)
    if code := os.WEXITSTATUS(status):
        return Result.of(failed(Reason.EXIT_NONZERO, f"exit code {code}"), exit_code=code)
    return Result(Outcome.SUCCEEDED, exit_code=0)


def name_processes(what: str, pids: set[int]) -> str:
    """Returns a text that names up to five of the processes; "" if there is none."""
    if not pids:
        return ""
    shown = ", ".join(f"{pid} of {kin.owner(pid)}" for pid in sorted(pids)[:5])
    more = f" and {len(pids) - 5} more" if len(pids) > 5 else ""
    return f"{what}: process {shown}{more}"


def _was_killed(status: int) -> bool:
    """Whether KILL ended the process; or, by the exit code of a shell, a process that it waited
    for. A job may also exit with that code for another reason."""
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) == signal.SIGKILL
    return os.WEXITSTATUS(status) == 128 + signal.SIGKILL


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
