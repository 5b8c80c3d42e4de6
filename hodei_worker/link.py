"""The agent's end of its supervisors' sockets: it finds the supervisors that run, or starts one.

Usually there is one, and one of containers if the worker runs them; a worker that runs only
containers has only that one. If the settings have changed while a supervisor with the old settings
still has jobs, another one is started for the new jobs. Both share the worker's slots; the old
supervisor ends with its last job."""

import asyncio
import functools
from collections.abc import Mapping
from typing import Any

import orjson
from loguru import logger

from hodei_worker import containers_only
from hodei_worker.config import Settings
from hodei_worker.container_process import open_containers
from hodei_worker.supervisor import wire
from hodei_worker.supervisor.secrets import unpacked
from hodei_worker.supervisor_folder import (
    ConnectedSupervisor,
    connect,
    has_unreported_jobs,
    supervisor_folders,
    wanted_settings,
)


class SupervisorDied(Exception):
    """A supervisor closed its connection. If it is dead, the next supervisor reports its jobs lost;
    if it lives, its jobs go on."""


class SupervisorGone(Exception):
    """No supervisor can be had: another agent is connected to it, or too many have jobs."""


class Link:
    def __init__(
        self,
        current: ConnectedSupervisor | None,
        old: list[ConnectedSupervisor],
        containers: ConnectedSupervisor | None = None,
    ) -> None:
        self._current = current  # gets the new jobs that are processes; None: this worker has none
        self._old = old  # each still has jobs
        self._containers = containers  # gets the new jobs that have an image
        self._supervisor_of = {job["lease"]: one for one in self._all for job in one.jobs}
        self._died = asyncio.Event()

    @property
    def _all(self) -> list[ConnectedSupervisor]:
        return [one for one in (self._current, *self._old, self._containers) if one]

    @property
    def jobs(self) -> list[wire.KeptJob]:
        """The jobs that the supervisors already had; the agent must adopt them."""
        return [job for one in self._all for job in one.jobs]

    @property
    def capabilities(self) -> list[str]:
        """What new jobs can be, in words of Hello.capabilities. They have secrets only where every
        supervisor that may get one knows them: one that runs still may be of an older release."""
        now = [one.capabilities for one in (self._current, self._containers) if one]
        only = [] if self._current else [containers_only.WORD]
        lacks = any(words and "secrets" not in words for words in now)
        found = dict.fromkeys(word for words in now for word in words)
        return [*only, *(word for word in found if word != "secrets" or not lacks)]

    @property
    def leftovers(self) -> list[wire.Leftover]:
        """Containers of other workers, of any cluster, on the engine that this worker uses."""
        return self._containers.leftovers if self._containers else []

    def remove_leftover(self, one: wire.Leftover) -> None:
        if self._containers:
            self._containers.connection.send("purge", lease=one["lease"], job_id=one["job_id"])

    @classmethod
    async def open(cls, settings: Settings, worker_id: str = "") -> "Link":
        """Raises BadSetting if a supervisor cannot be started, and SupervisorGone if it closed the
        connection at once five times. (An idle supervisor that is about to end does so once.)"""
        for _ in range(5):
            if link := await cls._open(settings):
                await link._open_containers(settings, worker_id)
                if link._current or link._containers:
                    return link
                link.close()
            await asyncio.sleep(0.2)
        words = "the supervisor closed its socket at once: another agent is connected to it"
        raise SupervisorGone(words)

    @classmethod
    async def _open(cls, settings: Settings) -> "Link | None":
        current, old, free = None, [], []
        for folder in supervisor_folders(settings.state_dir):
            found = await connect(folder, settings, start=has_unreported_jobs(folder))
            if found is None:
                free.append(folder)
            elif not current and settings.processes and found.settings == wanted_settings(settings):
                current = found
            elif found.jobs:
                old.append(found)
            else:
                logger.info("replacing an idle supervisor that has other settings")
                await found.exit()
                free.append(folder)
        if current is None and free and settings.processes:
            current = await connect(free[0], settings, start=True)
        if current is None and settings.processes:
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

    async def _open_containers(self, settings: Settings, worker_id: str) -> None:
        if (found := await open_containers(settings, worker_id)) is None:
            return
        if settings.containers:
            self._containers = found
        else:
            self._old.append(found)
        for job in found.jobs:
            self._supervisor_of[job["lease"]] = found

    def send(self, op: str, payload: bytes = b"", **header: Any) -> None:
        """Sends to the supervisor that has the lease; a new lease goes to the one for jobs of its
        kind. Never waits: frames to a supervisor are small and it reads them at once."""
        lease = header["lease"]
        if op == "start" and self._containers and has_image(spec_of(header, payload)):
            self._supervisor_of[lease] = self._containers
        elif op == "purge" and self._containers:
            self._containers.connection.send(op, payload, **header)
        one = self._supervisor_of.get(lease) or self._current or self._containers
        assert one  # noqa: S101  a link has one of the two
        self._supervisor_of[lease] = one
        one.connection.send(op, payload, **header)
        if op == "forget":
            del self._supervisor_of[lease]
            if one in self._old and one not in self._supervisor_of.values():
                self._old.remove(one)
                one.connection.send("exit")

    async def run(self, on_frame: wire.OnFrame) -> None:
        """Calls `on_frame` for each frame of all supervisors. Raises SupervisorDied when the
        connection to one that has jobs, or is to get some, ends."""
        for one in self._all:
            one.connection.ended.add_done_callback(functools.partial(self._on_connection_end, one))
            one.deliver_frames(functools.partial(self._on_frame, one, on_frame))
        await self._died.wait()
        raise SupervisorDied("a supervisor ended")

    @staticmethod
    def _on_frame(
        one: ConnectedSupervisor, on_frame: wire.OnFrame, header: Any, payload: bytes
    ) -> None:
        if header["op"] == "capabilities":
            one.capabilities = header["capabilities"]
        elif header["op"] == "leftovers":
            one.leftovers = header["leftovers"]
        else:
            on_frame(header, payload)

    def _on_connection_end(self, one: ConnectedSupervisor, _: "asyncio.Future[None]") -> None:
        if one in self._all:
            self._died.set()

    def end_all_jobs(self) -> None:
        """Has the supervisors stop all jobs, and end. Their results will interest nobody."""
        for one in self._all:
            one.connection.send("exit")

    def close(self) -> None:
        for one in self._all:
            one.connection.close()


def spec_of(header: Mapping[str, Any], payload: bytes) -> bytes:
    """The spec in the payload of a start frame, without the values behind it."""
    return unpacked(header.get("secrets", {}), payload)[0]


def has_image(spec: bytes) -> bool:
    """Whether a spec, as JSON, is one of a container job. Most are not, and are not parsed."""
    if b'"image"' not in spec:
        return False
    try:
        return orjson.loads(spec).get("image") is not None
    except (ValueError, AttributeError):
        return False
