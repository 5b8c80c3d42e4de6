"""What every executor must do (hodei_worker/supervisor/executor.py), case by case.

`python -m tests.worker.executor_cases KIND CASE FOLDER`: one case in a process of its own, since an
executor of processes waits for all children of the process that it is in.
"""

import asyncio
import contextlib
import functools
import gc
import itertools
import sys
import uuid
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from hodei.protocol.words import Outcome, Reason
from hodei_worker.containers.containers import Containers
from hodei_worker.containers.settings import ContainerSettings
from hodei_worker.supervisor import spool
from hodei_worker.supervisor.executor import Attempt, Executor, Listener, Start
from hodei_worker.supervisor.processes import Processes
from hodei_worker.supervisor.result import Cause, Result
from hodei_worker.supervisor.spool import Chunk, JobSpool
from tests.docker.engines import socket
from tests.docker.tiny_image import NAME as IMAGE
from tests.worker.scripted import Scripted

CANCELLED = Cause(Outcome.CANCELLED, Reason.CANCELLED, "cancelled by a test")
LATER = Cause(Outcome.FAILED, Reason.TIMEOUT, "a second cause")
FULL_BYTES, FLOOD_CHUNKS = 1 << 20, 40  # of 64 KiB: more than the job's spool takes unacknowledged

PROGRAMS: dict[str, dict[str, str]] = {
    "processes": {
        "write": "echo hello",
        "exit": "exit 3",
        "stay": "exec sleep 600",
        "deaf": "trap '' TERM; while :; do sleep 1; done",
        "missing": "missing",
        "flood": f"head -c {FLOOD_CHUNKS * 65_536} /dev/zero",
    },
    "containers": {
        "write": "echo hello",
        "exit": "exit 3",
        "stay": "exec sleep 600",
        "deaf": "trap '' TERM; while :; do sleep 1; done",
        "missing": "missing",
        "flood": f"head -c {FLOOD_CHUNKS * 65_536} /dev/zero",
    },
    "scripted": {
        "write": "write hello\n",
        "exit": "exit 3",
        "stay": "stay",
        "deaf": "deaf",
        "missing": "missing",
        "flood": f"fill {FLOOD_CHUNKS}",
    },
}


class Stage:
    """One executor, and all that is told of its one attempt, in order."""

    def __init__(self, kind: str, executor: Executor, folder: Path) -> None:
        self._kind = kind
        self.executor = executor
        spool.FULL_BYTES = FULL_BYTES
        self.job_spool: JobSpool = spool.Spool(folder / "spool").of_job(7)
        self.told: list[str] = []
        self.output = b""
        self.results: list[Result] = []
        self._news = asyncio.Event()
        self._leases = itertools.count(7)

    def attempt(self, program: str, **more: Any) -> Attempt:
        command: Any = PROGRAMS[self._kind][program]
        if self._kind != "scripted" and program == "missing":
            command = ["/nowhere/missing"]
        spec = {"command": command, "grace": 5.0} | more
        if self._kind == "containers":
            spec |= {"image": IMAGE, "network": "none"}
        lease = next(self._leases)
        start = Start(lease, f"00000000-0000-0000-0000-{lease:012}", 1, "c", "a", 1_000, spec)
        return self.executor.attempt(start, self.job_spool, self.listener())

    def listener(self) -> Listener:
        tell = functools.partial
        return Listener(
            on_chunk=self._wrote,
            on_started=tell(self._tell, "started"),
            on_stopping=tell(self._tell, "stopping"),
            on_ended=self._ended,
            on_processes=lambda _: None,
        )

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._news.set()

    def _wrote(self, chunk: Chunk) -> None:
        self.output += chunk.data
        if self.told[-1:] != ["wrote"]:
            self._tell("wrote")

    def _ended(self, result: Result) -> None:
        self.results.append(result)
        self._tell("ended")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self._news.wait()

    async def end(self) -> Result:
        """The result; and nothing is told after it."""
        await self.until(lambda: bool(self.results))
        await asyncio.sleep(0.05)
        assert self.told.count("ended") == 1, self.told
        assert self.told[-1] == "ended", self.told
        return self.results[0]


@contextlib.asynccontextmanager
async def staged(kind: str, folder: Path) -> AsyncIterator[Stage]:
    if kind == "scripted":
        yield Stage(kind, Scripted(), folder)
        return
    contained = kind == "containers"
    executor: Executor = (
        Containers(folder, container_settings()) if contained else Processes(folder, 0, None)
    )
    try:
        async with asyncio.TaskGroup() as group:
            executor.open(group, print)
            yield Stage(kind, executor, folder)
            executor.close()
    finally:
        executor.remove()


def container_settings(**more: Any) -> ContainerSettings:
    """For the engine of DOCKER_HOST, and an owner of its own."""
    known = ContainerSettings(str(uuid.uuid4()), socket(), 0, [], [], [], "missing", "")
    return known._replace(**more)


async def its_start_output_and_end_are_told_in_order(stage: Stage) -> None:
    stage.attempt("write").begin()
    result = await stage.end()
    assert stage.told == ["started", "wrote", "ended"], stage.told
    assert (result.outcome, result.exit_code) == ("SUCCEEDED", 0), result
    assert stage.output == b"hello\n"
    assert result.spooled == stage.job_spool.next_seq == 1


async def an_exit_code_is_a_failure(stage: Stage) -> None:
    stage.attempt("exit").begin()
    result = await stage.end()
    assert (result.outcome, result.reason) == ("FAILED", "EXIT_NONZERO"), result
    assert result.exit_code == 3


async def what_cannot_start_ends_without_a_start(stage: Stage) -> None:
    stage.attempt("missing").begin()
    result = await stage.end()
    assert (result.outcome, result.reason) == ("FAILED", "START_FAILED"), result
    assert "missing" in result.message
    assert stage.told == ["ended"]


async def a_stop_ends_it_for_its_cause(stage: Stage) -> None:
    attempt = stage.attempt("stay")
    attempt.begin()
    await stage.until(lambda: "started" in stage.told)
    attempt.stop(CANCELLED)
    attempt.stop(LATER, 0)
    result = await stage.end()
    assert Cause(result.outcome, result.reason, result.message) == CANCELLED
    assert stage.told == ["started", "stopping", "ended"], stage.told


async def a_stop_before_its_start_keeps_it_from_starting(stage: Stage) -> None:
    attempt = stage.attempt("stay")
    attempt.stop(CANCELLED)
    attempt.begin()
    result = await stage.end()
    assert (result.outcome, stage.told) == ("CANCELLED", ["ended"])


async def a_stop_at_once_ends_it_too(stage: Stage) -> None:
    attempt = stage.attempt("stay")
    attempt.begin()
    attempt.stop(CANCELLED)
    result = await stage.end()
    assert result.outcome == "CANCELLED"


async def what_does_not_listen_is_ended_by_force_after_the_grace(stage: Stage) -> None:
    attempt = stage.attempt("deaf")
    attempt.begin()
    await stage.until(lambda: "started" in stage.told)
    await asyncio.sleep(0.1)
    begun = asyncio.get_running_loop().time()
    attempt.stop(CANCELLED, 0.3)
    result = await stage.end()
    assert result.outcome == "CANCELLED"
    assert asyncio.get_running_loop().time() - begun >= 0.3


async def a_stop_after_its_end_is_nothing(stage: Stage) -> None:
    attempt = stage.attempt("write")
    attempt.begin()
    result = await stage.end()
    attempt.stop(CANCELLED)
    attempt.check()
    attempt.resume()
    assert (await stage.end(), result.outcome) == (result, "SUCCEEDED")


async def it_waits_while_its_job_spool_is_full(stage: Stage) -> None:
    attempt = stage.attempt("flood")
    attempt.begin()
    await stage.until(lambda: stage.job_spool.full)
    await asyncio.sleep(0.1)
    assert not stage.results
    held = len(stage.output)
    assert held < FLOOD_CHUNKS * 65_536
    while not stage.results:
        stage.job_spool.ack(stage.job_spool.next_seq)
        attempt.resume()
        await asyncio.sleep(0.01)
    result = await stage.end()
    assert len(stage.output) == FLOOD_CHUNKS * 65_536
    assert (result.outcome, result.spooled) == ("SUCCEEDED", stage.job_spool.next_seq)


async def a_fault_ends_it_as_internal(stage: Stage) -> None:
    attempt = stage.attempt("stay")
    attempt.begin()
    await stage.until(lambda: "started" in stage.told)
    attempt.fail(RuntimeError("an error of ours"))
    result = await stage.end()
    assert (result.outcome, result.reason) == ("FAILED", "INTERNAL"), result
    assert "an error of ours" in result.message


async def what_has_ended_is_freed_without_the_collector(stage: Stage) -> None:
    gc.disable()
    attempts = [stage.attempt("write"), stage.attempt("missing"), stage.attempt("stay")]
    living = [weakref.ref(attempt) for attempt in attempts]
    for attempt in attempts:
        attempt.begin()
    await stage.until(lambda: stage.told.count("started") == 2)
    attempts[2].stop(CANCELLED)
    await stage.until(lambda: len(stage.results) == len(attempts))
    del attempt
    attempts.clear()
    assert [one() for one in living] == [None, None, None]
    gc.enable()


async def one_of_a_supervisor_before_has_ended(stage: Stage) -> None:
    entry = {"lease": 99, "job_id": "00000000-0000-0000-0000-000000000099", "attempt": 1}
    start = Start.from_entry(entry)
    cause: Cause | Result | None
    cause = stage.executor.adopt(entry | stage.executor.journal_marks(start))
    if cause is None:
        stage.executor.go_on(start, stage.job_spool, stage.listener())
        cause = await stage.end()
        assert stage.told == ["ended"]
    assert (cause.outcome, cause.reason) == ("LOST", "WORKER_LOST")
    assert cause.message


async def a_request_that_cannot_be_made_ends_one_attempt(stage: Stage) -> None:
    """A request to a launcher counts its words in 16 bits. (No API takes a spec with that many.)"""
    stage.attempt("exit", command=["true", *"a" * 65_536]).begin()
    for _ in range(8):
        stage.attempt("exit").begin()
    await stage.until(lambda: len(stage.results) == 9)
    reasons = [result.reason for result in stage.results]
    assert sorted(reasons) == ["EXIT_NONZERO"] * 8 + ["INTERNAL"], stage.results
    assert stage.told.count("started") == 8


CASES: dict[str, Callable[[Stage], Awaitable[None]]] = {
    case.__name__: case
    for case in (
        its_start_output_and_end_are_told_in_order,
        an_exit_code_is_a_failure,
        what_cannot_start_ends_without_a_start,
        a_stop_ends_it_for_its_cause,
        a_stop_before_its_start_keeps_it_from_starting,
        a_stop_at_once_ends_it_too,
        what_does_not_listen_is_ended_by_force_after_the_grace,
        a_stop_after_its_end_is_nothing,
        it_waits_while_its_job_spool_is_full,
        a_fault_ends_it_as_internal,
        what_has_ended_is_freed_without_the_collector,
        one_of_a_supervisor_before_has_ended,
    )
}

OF_PROCESSES = {case.__name__: case for case in (a_request_that_cannot_be_made_ends_one_attempt,)}


async def run(kind: str, case: str, folder: Path) -> None:
    async with staged(kind, folder) as stage:
        await (CASES | OF_PROCESSES)[case](stage)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
