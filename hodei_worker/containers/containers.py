"""The executor of jobs in containers."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hodei_worker.containers.allowed import Allowed
from hodei_worker.containers.attempt import ContainerAttempt
from hodei_worker.containers.engine import Engine, EngineError, EngineGone
from hodei_worker.containers.images import Images
from hodei_worker.containers.parts import Parts
from hodei_worker.containers.programs import Programs
from hodei_worker.containers.pulls import Pulls
from hodei_worker.containers.readiness import Readiness
from hodei_worker.containers.remover import Remover
from hodei_worker.containers.settings import ContainerSettings
from hodei_worker.containers.tasks import Tasks, log_error
from hodei_worker.supervisor.executor import Listener, Start
from hodei_worker.supervisor.spool import JobSpool
from hodei_worker.supervisor.wire import Leftover

SWEEP_S = 60.0  # seconds between two sweeps

AGAIN_S = 5.0  # seconds before a loop is run again that ended by an error

NEEDED_LATER = ("timeout", "silence_timeout", "grace", "term", "log_limit")
"""Keys of the spec that the journal keeps, for a later process that goes on with the container. None
of them can be a secret."""

SECRETS = "secrets"
"""The journal's key for the names of the secrets whose values the job's log must not have."""


class Containers:
    """An Executor (executor.py)."""

    def __init__(self, state: Path, settings: ContainerSettings) -> None:
        self._state = state
        self._settings = settings
        self._engine = Engine(settings.socket)
        self._readiness = Readiness(self._engine)
        self._live: set[str] = set()  # leases whose attempts have not ended
        self._closing = asyncio.Event()

    @property
    def capabilities(self) -> list[str]:
        return self._readiness.capabilities

    @property
    def leftovers(self) -> list[Leftover]:
        return self._parts.remover.leftovers

    def journal_marks(self, start: Start) -> dict[str, Any]:
        kept = {key: start.spec[key] for key in NEEDED_LATER if key in start.spec}
        if start.secrets:
            kept[SECRETS] = sorted(start.secrets)
        return {"cluster": start.cluster, "limits": kept}

    def adopt(self, entry: dict[str, Any]) -> None:
        """The container may run: whether it does is asked when the engine answers."""
        return

    def open(self, group: asyncio.TaskGroup, warn: Callable[[str], None]) -> None:
        settings, engine = self._settings, self._engine
        engine.open()
        self._tasks = Tasks(group)
        remover = Remover(engine, settings.owner, self._tasks, warn)
        pulls = Pulls(engine, settings.docker_config, self._tasks)
        self._parts = Parts(
            engine,
            Images(engine, pulls, settings.pull_policy),
            Programs(engine),
            remover,
            Allowed(
                settings.allow_images,
                settings.allow_volumes,
                settings.allow_networks,
                settings.socket,
            ),
            settings,
            self._state / "positions",
            self._tasks,
        )
        self._watchers = [
            self._tasks.start(_for_ever(lambda: self._readiness.watch(warn))),
            self._tasks.start(_for_ever(self._sweep)),
        ]
        group.create_task(self._close_engine())

    async def _sweep(self) -> None:
        """Removes, for ever, what attempts have left that this process does not know."""
        while True:
            for path in self._parts.positions.glob("*"):
                if path.name not in self._live:
                    path.unlink(missing_ok=True)
            try:
                await self._parts.remover.sweep(lambda: set(self._live))
            except (EngineError, EngineGone):
                pass  # the readiness says so
            await asyncio.sleep(SWEEP_S)

    async def _close_engine(self) -> None:
        """Waits for `close`, and for what is being removed then."""
        await self._closing.wait()
        while not self._tasks.empty:
            await asyncio.sleep(0.02)
        await self._engine.close()

    def attempt(self, start: Start, job_spool: JobSpool, listener: Listener) -> ContainerAttempt:
        return self._attempt(start, job_spool, listener)

    def _attempt(
        self, start: Start, job_spool: JobSpool, listener: Listener, *, waits: bool = False
    ) -> ContainerAttempt:
        lease = str(start.lease)
        self._live.add(lease)

        def on_ended(*result: Any) -> None:
            self._live.discard(lease)
            listener.on_ended(*result)

        until_ended = Listener(
            listener.on_chunk,
            listener.on_started,
            listener.on_stopping,
            on_ended,
            listener.on_processes,
        )
        return ContainerAttempt(start, self._parts, job_spool, until_ended, waits=waits)

    def go_on(self, start: Start, job_spool: JobSpool, listener: Listener) -> ContainerAttempt:
        attempt = self._attempt(start, job_spool, listener, waits=bool(start.spec.get(SECRETS)))
        attempt.go_on()
        return attempt

    def check(self) -> None:
        """Does nothing: the tasks of attempts see each change by themselves."""

    def purge(self, job_id: str, lease: int) -> None:
        self._tasks.start(self._parts.remover.purge(job_id, lease))

    def close(self) -> None:
        """If attempts have not ended, their containers are left to the next process. Otherwise the
        removals go on, and the process ends with the last."""
        self._closing.set()
        for task in self._watchers:
            task.cancel()
        if self._live:
            self._tasks.cancel_all()

    def remove(self) -> None:
        """Containers are removed with their attempts."""


async def _for_ever(loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a loop, and again if it ends by an error of ours."""
    while True:
        try:
            await loop()
        except Exception as error:  # noqa: BLE001  whatever it is
            log_error(error)
        await asyncio.sleep(AGAIN_S)
