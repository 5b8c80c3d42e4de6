"""The composition root of a worker: link to the supervisor, slots, the session; a stop in two
phases."""

import asyncio
import signal
from collections.abc import Callable

from loguru import logger

from hodei_worker.config import Settings
from hodei_worker.identity import Identity
from hodei_worker.job_user import job_user
from hodei_worker.link import Link, SupervisorDied, SupervisorGone
from hodei_worker.outbox import Outbox
from hodei_worker.registration import GiveUp
from hodei_worker.session import Session
from hodei_worker.slots import Slots

GOODBYE_S = 5.0
"""For last results to be acknowledged when the worker stops."""


class Agent:
    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity
        self._asked = asyncio.Event()
        self._twice = asyncio.Event()

    async def run(self) -> None:
        """Returns after a stop. GiveUp: a person must act. SupervisorGone: another agent has it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask)
        if job_user(self._settings) == "root":
            logger.info("jobs run as root on this host: --job-user NAME runs them as somebody else")
        outbox = Outbox()
        self._link = await Link.open(self._settings)
        slots = Slots(self._settings.slots, self._link, outbox, self._identity.worker_id)
        slots.adopt(self._link.jobs)
        session = Session(self._settings, self._identity, slots, outbox)
        ended: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(service)
                    for service in (self._supervised(slots), session.run(), session.watch_contact())
                ]
                await self._asked.wait()
                await self._drain(slots, session, outbox)
                for task in tasks:
                    task.cancel()
        except* (GiveUp, SupervisorGone) as ends:
            ended = ends.exceptions[0]
        finally:
            slots.lines.flush()
            self._link.close()
        if ended:
            raise ended from None
        logger.info("hodei-worker has ended")

    async def _supervised(self, slots: Slots) -> None:
        """A supervisor that dies takes its jobs with it: the next one kills what they left, and
        they are reported lost. One that only hung up still has them."""
        while True:
            try:
                await self._link.run(slots.heard)
            except SupervisorDied:
                logger.error("the supervisor hung up; if it is dead its jobs are reported lost")
            self._link.close()
            self._link = await Link.open(self._settings)
            slots.adopt_after_death(self._link, self._link.jobs)

    def _ask(self) -> None:
        (self._twice if self._asked.is_set() else self._asked).set()

    async def _drain(self, slots: Slots, session: Session, outbox: Outbox) -> None:
        """First phase: nothing new, what runs may end. Then, by choice, it is kept for the next
        agent or stopped and reported lost."""
        logger.info(
            "draining: {} jobs run, waiting for them at most {:g} s; a second signal ends at once",
            slots.running,
            self._settings.drain_s,
        )
        slots.drain()
        outbox.heartbeat(slots.heartbeat())
        await self._until(lambda: slots.running == 0, self._settings.drain_s)
        if self._settings.on_worker_exit == "kill":
            slots.stop_all("the worker was shut down")
            await self._until(lambda: slots.running == 0, 660.0)
        elif slots.running:
            logger.info(
                "{} jobs run on under the supervisor; the next hodei-worker with this state folder adopts them",
                slots.running,
            )
        if session.connected:
            await self._until(lambda: slots.empty or not session.connected, GOODBYE_S)
            outbox.heartbeat(slots.heartbeat())  # the last one: it drains, and holds nothing
            await self._until(lambda: outbox.empty, 1.0)
        session.leaving.set()
        await self._until(lambda: not session.connected, 1.0)

    async def _until(self, condition: Callable[[], bool], most_s: float) -> None:
        try:
            async with asyncio.timeout(most_s):
                while not condition() and not self._twice.is_set():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return
