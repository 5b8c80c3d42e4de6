"""The agent's end of its supervisors' sockets: it finds the supervisors that run, or starts one.

Usually there is one. If the settings have changed while a supervisor with the old settings still
has jobs, another one is started for the new jobs. Both share the worker's slots; the old supervisor
ends with its last job."""

import asyncio
import functools
from typing import Any

from loguru import logger

from hodei_worker.config import Settings
from hodei_worker.seats import (
    ConnectedSupervisor,
    connect,
    has_unreported_jobs,
    seats,
    wanted_settings,
)
from hodei_worker.supervisor import wire


class SupervisorDied(Exception):
    """A supervisor closed its connection. If it is dead, the next supervisor reports its jobs lost;
    if it lives, its jobs go on."""


class SupervisorGone(Exception):
    """No supervisor can be had: another agent is connected to it, or too many have jobs."""


class Link:
    def __init__(self, current: ConnectedSupervisor, old: list[ConnectedSupervisor]) -> None:
        self._current = current  # gets the new jobs
        self._old = old  # each still has jobs
        self._supervisor_of = {job["lease"]: one for one in (current, *old) for job in one.jobs}
        self._died = asyncio.Event()

    @property
    def jobs(self) -> list[wire.KeptJob]:
        """The jobs that the supervisors already had; the agent must adopt them."""
        return [job for one in (self._current, *self._old) for job in one.jobs]

    @classmethod
    async def open(cls, settings: Settings) -> "Link":
        """Raises BadSetting if a supervisor cannot be started, and SupervisorGone if it closed the
        connection at once five times. (An idle supervisor that is about to end does so once.)"""
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
            found = await connect(seat, settings, start=has_unreported_jobs(seat))
            if found is None:
                free.append(seat)
            elif current is None and found.settings == wanted_settings(settings):
                current = found
            elif found.jobs:
                old.append(found)
            else:
                logger.info("replacing an idle supervisor that has other settings")
                await found.exit()
                free.append(seat)
        if current is None and free:
            current = await connect(free[0], settings, start=True)
        if current is None:
            for one in old:
                one.connection.close()
            if not free:
                words = (
                    f"{len(old)} supervisors with other settings still have jobs, and no more are"
                    " started: wait until the jobs of one have ended, or start with its settings"
                )
                raise SupervisorGone(words)
            return None
        for one in old:
            words = "{} running jobs keep the settings they were started with (job user {})"
            logger.info(words, len(one.jobs), (one.settings or {}).get("job_user") or "none")
        return cls(current, old)

    def send(self, op: str, payload: bytes = b"", **header: Any) -> None:
        """Sends to the supervisor that has the lease; a new lease goes to the current one. Never
        waits: frames to a supervisor are small and it reads them at once."""
        lease = header["lease"]
        one = self._supervisor_of.setdefault(lease, self._current)
        one.connection.send(op, payload, **header)
        if op == "forget":
            del self._supervisor_of[lease]
            if one in self._old and one not in self._supervisor_of.values():
                self._old.remove(one)
                one.connection.send("exit")

    async def run(self, on_frame: wire.OnFrame) -> None:
        """Calls `on_frame` for each frame of all supervisors. Raises SupervisorDied when the
        connection to one that has jobs, or is to get some, ends."""
        for one in (self._current, *self._old):
            one.connection.ended.add_done_callback(functools.partial(self._on_connection_end, one))
            one.deliver_frames(on_frame)
        await self._died.wait()
        raise SupervisorDied("a supervisor ended")

    def _on_connection_end(self, one: ConnectedSupervisor, _: "asyncio.Future[None]") -> None:
        if one is self._current or one in self._old:
            self._died.set()

    def close(self) -> None:
        for one in (self._current, *self._old):
            one.connection.close()
