"""An executor that runs nothing and does what a job's command says at once: for what is built upon
executors, and for the suite that all executors pass."""

import asyncio
from collections.abc import Callable
from typing import Any

from hodei.protocol.words import Outcome, Reason
from hodei_worker.supervisor.executor import Listener, Start
from hodei_worker.supervisor.result import Cause, Result, failed, lost
from hodei_worker.supervisor.secrets import Values
from hodei_worker.supervisor.spool import STDOUT, JobSpool
from hodei_worker.supervisor.wire import Leftover


class Scripted:
    """An Executor. Commands: `write TEXT`, `fill N` (chunks of 64 KiB, as far as the job's spool takes
    them), `stay` (until it is stopped), `deaf` (stays though it is asked to end), `missing` (cannot
    be started), `exit N`; several are divided by "; "."""

    capabilities: list[str] = []  # noqa: RUF012  as the protocol has it
    leftovers: list[Leftover] = []  # noqa: RUF012

    def journal_marks(self, start: Start) -> dict[str, Any]:
        return {}

    def open(self, group: asyncio.TaskGroup, warn: Callable[[str], None]) -> None:
        pass

    def adopt(self, entry: dict[str, Any]) -> Cause:
        return lost(f"the script of lease {entry['lease']} has ended")

    def attempt(self, start: Start, job_spool: JobSpool, listener: Listener) -> "ScriptedAttempt":
        return ScriptedAttempt(start, job_spool, listener)

    def go_on(self, start: Start, job_spool: JobSpool, listener: Listener) -> "ScriptedAttempt":
        raise AssertionError("no attempt goes on: adopt has ended each")

    def check(self) -> None:
        pass

    def purge(self, job_id: str, lease: int) -> None:
        pass

    def close(self) -> None:
        pass

    def remove(self) -> None:
        pass


class ScriptedAttempt:
    def __init__(self, start: Start, job_spool: JobSpool, listener: Listener) -> None:
        self._steps = start.spec["command"].split("; ")
        self._grace_s = float(start.spec.get("grace", 10.0))
        self._job_spool = job_spool
        self._listener = listener
        self._cause: Cause | None = None
        self._running = self._over = False

    def begin(self) -> None:
        if self._cause:
            self._end(Result.of(self._cause))
        elif self._steps == ["missing"]:
            self._end(Result.of(failed(Reason.START_FAILED, "missing: no such script")))
        else:
            self._running = True
            self._listener.on_started()
            self._run()

    def _run(self) -> None:
        while self._steps and not self._over:
            word, _, value = self._steps[0].partition(" ")
            if word in ("stay", "deaf"):
                return
            if word == "exit":
                code = int(value)
                cause = failed(Reason.EXIT_NONZERO, f"exit code {code}")
                self._end(Result.of(cause, exit_code=code))
                return
            if word == "fill" and not self._filled(int(value)):
                return
            if word == "write":
                self._listener.on_chunk(self._job_spool.append(STDOUT, value.encode()))
            self._steps.pop(0)
        self._end(Result(Outcome.SUCCEEDED, exit_code=0))

    def _filled(self, chunks: int) -> bool:
        """False: the job's spool is full before all of them are written; the rest comes later."""
        while chunks and not self._job_spool.full:
            self._listener.on_chunk(self._job_spool.append(STDOUT, b"x" * 65_536))
            chunks -= 1
        self._steps[0] = f"fill {chunks}"
        return not chunks

    def stop(self, cause: Cause, grace_s: float | None = None) -> None:
        if self._cause or self._over:
            return
        self._cause = cause
        if not self._running:
            return
        self._listener.on_stopping()
        wait_s = self._grace_s if grace_s is None else grace_s
        deaf = self._steps and self._steps[0] == "deaf"
        asyncio.get_running_loop().call_later(wait_s if deaf else 0, self._end, Result.of(cause))

    def give_secrets(self, values: Values) -> None:
        """It masks nothing."""

    def resume(self) -> None:
        self._run()

    def fail(self, error: Exception) -> None:
        words = f"the worker could not go on with the job: {error!r}"
        self._end(Result.of(failed(Reason.INTERNAL, words)))

    def check(self) -> None:
        pass

    def _end(self, result: Result) -> None:
        if not self._over:
            self._over = True
            result.spooled = self._job_spool.next_seq
            self._listener.on_ended(result)
