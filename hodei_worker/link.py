"""The agent's end of its supervisors' sockets: finds those that live, or starts one.

Mostly there is one. Where settings have changed and the one with the old ones still has jobs,
another is started for the new jobs, within the same slots; the old one ends with its last job."""

import asyncio
import functools
from typing import Any

from loguru import logger

from hodei_worker.config import Settings
from hodei_worker.seats import Seated, greet, left_behind, seats, wanted
from hodei_worker.supervisor import wire


class SupervisorDied(Exception):
    """It hung up while we were connected. Where it is dead the next one reports its jobs lost;
    where it lives its jobs run on."""


class SupervisorGone(Exception):
    """It does not want us: another agent is connected to it."""


class Link:
    def __init__(self, current: Seated, old: list[Seated]) -> None:
        self._current = current  # takes the new jobs
        self._old = old  # each with jobs of its own
        self._leases = {job["lease"]: one for one in (current, *old) for job in one.jobs}
        self._died = asyncio.Event()

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """That supervisors already have: to be adopted."""
        return [job for one in (self._current, *self._old) for job in one.jobs]

    @classmethod
    async def open(cls, settings: Settings) -> "Link":
        """BadSetting: one cannot be started. SupervisorGone: five times it hung up at once (one
        that was about to end for want of work may do so once)."""
        for _ in range(5):
            if link := await cls._open(settings):
                return link
            await asyncio.sleep(0.2)
        words = "the supervisor closed its socket at once: another agent is connected to it"
        raise SupervisorGone(words)

    @classmethod
    async def _open(cls, settings: Settings) -> "Link | None":
        current, old, free = None, [], []
        for seat in seats(settings.state_dir):
            found = await greet(seat, settings, start=left_behind(seat))
            if found is None:
                free.append(seat)
            elif current is None and found.settings == wanted(settings):
                current = found
            elif found.jobs:
                old.append(found)
            else:
                logger.info("an idle supervisor with other settings is replaced")
                await found.exit()
                free.append(seat)
        if current is None and free:
            current = await greet(free[0], settings, start=True)
        if current is None:
            for one in old:
                one.connection.close()
            return None
        for one in old:
            words = "{} jobs of before run on with the settings of before (job user {})"
            logger.info(words, len(one.jobs), (one.settings or {}).get("job_user") or "none")
        return cls(current, old)

    def send(self, op: str, payload: bytes = b"", **header: Any) -> None:
        """Never waits: what the agent says is small, and the supervisor reads it at once."""
        lease = header["lease"]
        one = self._leases.setdefault(lease, self._current)
        one.connection.send(op, payload, **header)
        if op == "forget":
            del self._leases[lease]
            if one in self._old and one not in self._leases.values():
                self._old.remove(one)
                one.connection.send("exit")

    async def run(self, hear: wire.Hear) -> None:
        """Hands each frame over; SupervisorDied when one of them ends that has jobs, or is to get
        some."""
        for one in (self._current, *self._old):
            one.connection.ended.add_done_callback(functools.partial(self._ended, one))
            one.pass_on(hear)
        await self._died.wait()
        raise SupervisorDied("a supervisor ended")

    def _ended(self, one: Seated, _: "asyncio.Future[None]") -> None:
        if one is self._current or one in self._old:
            self._died.set()

    def close(self) -> None:
        for one in (self._current, *self._old):
            one.connection.close()
