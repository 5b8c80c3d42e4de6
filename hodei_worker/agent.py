"""The composition root of a worker: it connects the link to the supervisor, the slots and the
session, and stops them in two phases."""

import asyncio
import signal
from collections.abc import Callable

from loguru import logger

from hodei_worker.config import Settings
from hodei_worker.identity import Identity
from hodei_worker.job_limit import JobLimit
from hodei_worker.job_user import job_user
from hodei_worker.link import Link, SupervisorDied, SupervisorGone
from hodei_worker.outbox import Outbox
from hodei_worker.registration import GiveUp, Revoked
from hodei_worker.session import Session
from hodei_worker.slots import Slots

GOODBYE_S = 5.0
"""Seconds that a stopping worker waits for acknowledgements of its last results. What is not
acknowledged by then stays with the supervisor."""

KILL_S = 660.0
"""Seconds that a stopping worker waits for jobs that it has stopped: the longest grace and more."""


class Agent:
    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity
        self._stop_requested = asyncio.Event()
        self._stop_at_once = asyncio.Event()

    async def run(self) -> None:
        """Returns after a stop. Raises GiveUp if a person must act, and SupervisorGone if another
        agent is connected to the supervisor."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal)
        if job_user(self._settings) == "root":
            logger.info(
                "jobs run as root on this host; use --job-user NAME to run them as another user"
            )
        outbox = Outbox()
        worker_id = self._identity.worker_id
        self._link = await Link.open(self._settings, worker_id)
        slots = Slots(self._settings.slots, self._link, outbox, worker_id)
        slots.limit = JobLimit(self._settings.most_jobs)
        slots.adopt_jobs(self._link.jobs)
        session = Session(self._settings, self._identity, slots, outbox)
        ended: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(service)
                    for service in (
                        self._keep_supervisor(slots),
                        session.run(),
                        session.watch_contact(),
                        self._stop_after_last_job(slots.limit),
                    )
                ]
                await self._stop_requested.wait()
                await self._drain(slots, session, outbox)
                for task in tasks:
                    task.cancel()
        except* (GiveUp, SupervisorGone) as ends:
            ended = ends.exceptions[0]
            if isinstance(ended, Revoked):
                logger.warning("this worker was revoked: its {} jobs are stopped", slots.running)
                self._link.end_all_jobs()
        finally:
            slots.lines.flush()
            self._link.close()
        if ended:
            raise ended from None
        logger.info("hodei-worker has stopped")

    async def _keep_supervisor(self, slots: Slots) -> None:
        """Opens a new link whenever a supervisor closes its connection. If it died, its jobs died
        with it: the next supervisor kills the processes they left, and they are reported lost. If
        it only closed the connection, it still has them."""
        while True:
            try:
                await self._link.run(slots.on_supervisor_frame)
            except SupervisorDied:
                logger.error(
                    "the supervisor closed its connection; if it is dead, its jobs are reported lost"
                )
            slots.wait_for_supervisor()
            self._link.close()
            self._link = await Link.open(self._settings, self._identity.worker_id)
            slots.adopt_after_supervisor_death(self._link, self._link.jobs)

    async def _stop_after_last_job(self, limit: JobLimit) -> None:
        """Does as a stop signal, when the last job that this worker may take has ended."""
        await limit.used_up.wait()
        logger.info("this worker has run its {} jobs and ends", self._settings.most_jobs)
        self._stop_requested.set()

    def _on_stop_signal(self) -> None:
        (self._stop_at_once if self._stop_requested.is_set() else self._stop_requested).set()

    async def _drain(self, slots: Slots, session: Session, outbox: Outbox) -> None:
        """First phase: no new jobs, running jobs may end. After `drain_s` seconds the rest is kept
        for the next agent, or stopped and reported lost (--on-worker-exit)."""
        logger.info(
            "draining: {} jobs run; waiting at most {:g} s for them;"
            " a second signal stops the worker at once",
            slots.running,
            self._settings.drain_s,
        )
        slots.drain()
        outbox.set_heartbeat(slots.heartbeat())
        await self._wait_until(lambda: slots.running == 0, self._settings.drain_s)
        if self._settings.on_worker_exit == "kill":
            slots.stop_running_jobs("the worker was shut down")
            await self._wait_until(lambda: slots.running == 0, KILL_S)
        elif slots.running:
            logger.info(
                "{} jobs keep running under the supervisor;"
                " the next hodei-worker with this state folder adopts them",
                slots.running,
            )
        if session.connected:
            await self._wait_until(lambda: slots.empty or not session.connected, GOODBYE_S)
            outbox.set_heartbeat(
                slots.heartbeat()
            )  # the last one; servers see that no lease is left
            await self._wait_until(lambda: outbox.empty, 1.0)
        session.leaving.set()
        await self._wait_until(lambda: not session.connected, 1.0)

    async def _wait_until(self, condition: Callable[[], bool], most_s: float) -> None:
        try:
            async with asyncio.timeout(most_s):
                while not condition() and not self._stop_at_once.is_set():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return
