"""A start that nothing can end. Here no process is like that, so that its launchers are a stand-in."""

import asyncio
import os
from typing import Any

import pytest

from hodei.protocol.words import Outcome
from hodei_worker.supervisor import starting
from hodei_worker.supervisor.executor import Start
from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.launchers import Aborted
from hodei_worker.supervisor.members import Members
from hodei_worker.supervisor.prepare import Prepared
from hodei_worker.supervisor.result import Cause
from hodei_worker.supervisor.spool import STDERR, STDOUT
from hodei_worker.supervisor.starting import Starting, Stop


class Stuck:
    """Launchers and host."""

    def __init__(self) -> None:
        self.launchers = self.folders = self
        self.user = None
        self.tries = 0
        self.abandoned: list[Starting] = []

    def spawn(self, _: Starting) -> None: ...

    def abort(self, _: Starting) -> Aborted:
        self.tries += 1
        return Aborted.KILLED

    def abandon(self, spawn: Starting) -> bool:
        self.abandoned.append(spawn)
        return True


class Told:
    """Outcomes."""

    cause: Cause | None = None

    def on_not_started(self, cause: Cause, left: Members | None) -> None:
        assert left is None
        self.cause = cause


def test_it_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "STOP_AFTER_S", 0.0)
    monkeypatch.setattr(starting, "STOP_EVERY_S", 0.0)
    host, told = Stuck(), Told()
    failures: list[Exception] = []

    async def test() -> None:
        call_later = asyncio.get_running_loop().call_later
        start = Start.from_entry({"lease": 1, "job_id": "x"})
        parts: Any = (start, host, Guard(failures.append), call_later, told)
        one = Starting(*parts)
        pipes = {stream: os.open(os.devnull, os.O_WRONLY) for stream in (STDOUT, STDERR)}
        one.begin(Prepared(["true"], {}, "/", os.devnull, ""), pipes)
        one.stop(Stop(Cause(Outcome.CANCELLED, "CANCELLED", "cancelled by me"), None))
        one.stop(Stop(Cause(Outcome.FAILED, "LOST", "later"), None))
        while one.under_way:
            await asyncio.sleep(0.001)
        assert host.abandoned == [one]

    asyncio.run(asyncio.wait_for(test(), 20))
    assert not failures
    assert host.tries == starting.STOP_TRIES + 1
    assert told.cause
    assert told.cause.outcome is Outcome.CANCELLED
    assert told.cause.message == "cancelled by me; its start hangs and could not be ended"
