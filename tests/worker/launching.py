"""The supervisor's launchers, real processes, and jobs for them."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

from hodei_worker.supervisor.cgroups import Cgroups
from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.launchers import Launchers
from hodei_worker.supervisor.poller import Poller
from hodei_worker.supervisor.spawn import Spawn, Usage
from tests.eventually import gone

SOON_S = 20.0


class Job(Spawn):
    """It appends its name to a file, and writes down what it is told."""

    def __init__(self, file: Path, name: str, command: str = "") -> None:
        self.argv = ["/bin/sh", "-c", command or f"echo {name} >>{file}"]
        self.environment = {"PATH": "/bin:/usr/bin"}
        self.workdir, self.umask = "/", ""
        self.streams = ()
        self.cgroup, self.requested_at, self.turn = None, 0.0, 0
        self.told: list[str] = []
        self.guard = Guard(lambda error: self.told.append(repr(error)))

    @property
    def has_ended(self) -> bool:
        return bool(self.told) and self.told[-1] != "started"

    def on_started(self, pid: int) -> None:
        self.told.append("started")

    def on_failed(self, why: str) -> None:
        self.told.append(why)

    def on_error(self, error: Exception) -> None:
        raise error

    def on_ended(self, status: int, usage: Usage) -> None:
        self.told.append(f"ended {status}")

    def on_ran(self, pid: int, status: int, usage: Usage, may_be_left: bool) -> None:
        self.told.append(f"ended {status}")

    def on_orphaned(self) -> None:
        self.told.append("orphaned")

    def on_unsure(self) -> None:
        self.told.append("unsure")


async def eventually(ask: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON_S
    while not ask():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@asynccontextmanager
async def launching(cgroups: Cgroups | None = None) -> AsyncIterator[Launchers]:
    loop = asyncio.get_running_loop()
    launchers = Launchers(Poller(), cgroups, None, loop.call_later)
    loop.add_signal_handler(signal.SIGCHLD, launchers.read_answers)
    try:
        yield launchers
    finally:
        pids = launchers.pids
        launchers.close()
        assert all(gone(pid) for pid in pids)


def run(test: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 3 * SOON_S))


async def run_all(launchers: Launchers, file: Path, count: int = 10) -> list[Job]:
    """Each runs once."""
    jobs = [Job(file, f"job-{at}") for at in range(count)]
    for job in jobs:
        launchers.spawn(job)
    await eventually(lambda: all(job.has_ended for job in jobs))
    told = [job.told for job in jobs]
    assert all(one in (["ended 0"], ["started", "ended 0"]) for one in told), told
    assert sorted(file.read_text().split()) == sorted(f"job-{at}" for at in range(count))
    return jobs
