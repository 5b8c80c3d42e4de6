"""The composition root of a server: everything it is made of, one TaskGroup, a stop in two phases.
The map of the system."""

import asyncio
import gc
import random
import signal
import sys
import uuid
from collections.abc import Awaitable

import grpc
import grpc.aio
import psycopg
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from loguru import logger

from hodei.config import Settings
from hodei.domain.errors import Conflict, HodeiError
from hodei.domain.text import words_of
from hodei.fleet.balance import Balancer
from hodei.fleet.presence import Presence
from hodei.flow.control import JobController
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.enqueue import Enqueuer
from hodei.flow.enqueue_all import AllOrNothing
from hodei.flow.log_reader import LogReader
from hodei.flow.logs import LogKeeper
from hodei.flow.maintain import Maintainer
from hodei.flow.rescue import JobRescuer
from hodei.health import Health
from hodei.protocol import hodei_pb2, hodei_pb2_grpc
from hodei.rpc.answering import Answering
from hodei.rpc.fleet_service import FleetService
from hodei.rpc.job_service import JobService
from hodei.rpc.limits import Limits
from hodei.rpc.options import GRPC_OPTIONS
from hodei.rpc.worker_service import WorkerService
from hodei.services import EXIT_UNSOUND, Unsound, start
from hodei.store import schema, workers
from hodei.store.database import TROUBLE, Database
from hodei.store.listener import listen
from hodei.store.server import listener_name
from hodei.store.startup import wait_for_database

CHANNELS = ("hodei_work", "hodei_cancel", "hodei_worker")


class Server:
    """One hodei-server process. Stateless: whatever it holds in memory may be lost at any
    moment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.database = Database(settings.database_url, prepare=settings.prepare, heal=self._heal)
        self.presence = Presence(self.database)
        self.dispatcher = JobDispatcher(self.database, self.presence)
        self.controller = JobController(self.database, self.presence, self.dispatcher)
        self.limits = Limits(self.database)
        self.log_reader = LogReader(self.database, self.limits.database)
        self.logs = LogKeeper(self.database, self.log_reader.wake)
        self.enqueuer = Enqueuer(self.database, self.dispatcher)
        self.rescuer = JobRescuer(
            self.database, self.presence, self.dispatcher, self.controller, settings.lost_after_s
        )
        self.balancer = Balancer(self.database, self.presence)
        self.maintainer = Maintainer(self.database, settings.keep_days, heal=self._heal)
        self.worker_service = WorkerService(
            self.database,
            self.presence,
            self.dispatcher,
            self.controller,
            self.logs,
            settings.lost_after_s,
        )
        self._changed_workers: asyncio.Queue[str] = asyncio.Queue(
            1000
        )  # full: the next heartbeat tells as well
        self.health = Health(self.rescuer)
        self._unsound: Unsound | None = None

    async def run(self) -> None:
        """Returns after a stop. Conflict: the schema is newer than this program, or the port is
        taken. Unsound: a loop died again and again."""
        stop = _Stop()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.ask)
        grpc_server = self._bind()
        if not await stop.first_of(wait_for_database(self._settings.database_url)):
            return
        async with self.database:
            await self._serve(grpc_server, stop)
        if self._unsound:
            raise self._unsound

    async def _serve(self, grpc_server: grpc.aio.Server, stop: "_Stop") -> None:
        async with asyncio.TaskGroup() as group:
            services = {
                "enqueue": self.enqueuer.run,
                "control": self.controller.run,
                "logs": self.logs.run,
                "heartbeats": self.presence.run,
                "dispatch": self.dispatcher.run,
                "rescue": self.rescuer.run,
                "balance": self.balancer.run,
                "streams' ends": self.worker_service.run,
                "maintenance": self.maintainer.run,
                "listen": self._listen,
                "changes of workers": self._notice_changes,
                "health": self.health.run,
                "log readers": self.log_reader.run,
                "requests": self.limits.readings.run,
            }
            tasks = start(group, services, lambda unsound: self._end_unsound(unsound, stop))
            await grpc_server.start()
            logger.success("hodei-server is ready on {}", self._settings.grpc)
            await stop.asked.wait()
            await self._drain(grpc_server, stop)
            for task in tasks:
                task.cancel()
        logger.info("hodei-server has ended")

    def _end_unsound(self, unsound: Unsound, stop: "_Stop") -> None:
        """A loop that cannot live must not claim: this server drains, and ends with an exit code of
        its own."""
        self._unsound = self._unsound or unsound
        self.dispatcher.stop_claiming()
        stop.asked.set()

    async def _drain(self, grpc_server: grpc.aio.Server, stop: "_Stop") -> None:
        """First phase: claim nothing, send the workers elsewhere, let calls end. A second signal,
        or the term, ends it."""
        logger.info(
            "draining: workers are sent to other servers, calls may end, at most {:g} s",
            self._settings.drain_s,
        )
        self.dispatcher.stop_claiming()
        await self.health.drain()
        self.worker_service.send_away("this server is shutting down")
        await stop.first_of(self._streams_gone(), again=True)
        await stop.first_of(
            grpc_server.stop(self._settings.drain_s if not stop.twice.is_set() else None),
            again=True,
        )
        await grpc_server.stop(None)

    async def _streams_gone(self) -> None:
        """Workers leave within moments where there is another server; where there is none they stay
        until we end."""
        try:
            async with asyncio.timeout(min(5.0, self._settings.drain_s)):
                while len(self.presence):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return

    def _bind(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=GRPC_OPTIONS)
        calls = self.limits.database
        together = AllOrNothing(self.database)
        job_service = JobService(calls, self.enqueuer, together, self.controller, self.log_reader)
        names = [service.full_name for service in hodei_pb2.DESCRIPTOR.services_by_name.values()]
        reflecting = reflection.aio.ReflectionServicer(
            (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        )
        answering = Answering(server, self.limits)
        hodei_pb2_grpc.add_WorkerServiceServicer_to_server(self.worker_service, answering)
        hodei_pb2_grpc.add_JobServiceServicer_to_server(job_service, answering)
        hodei_pb2_grpc.add_FleetServiceServicer_to_server(FleetService(calls), answering)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, answering)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflecting, answering)
        try:
            server.add_insecure_port(self._settings.grpc)
        except RuntimeError as error:
            raise Conflict(
                f"cannot listen on {self._settings.grpc}: the port is taken or the address is not of this machine; choose another --grpc"
            ) from error
        return server

    # ── the database ──

    async def _heal(self) -> None:
        """What cannot be mended from here (a newer schema, a role that may not) is said; the call
        that met it fails."""
        try:
            words = await schema.ensure(self._settings.database_url)
        except Conflict as error:
            logger.error("the schema cannot be healed: {}", words_of(error))
        else:
            if words.startswith("applied"):
                logger.warning(words)

    async def _listen(self) -> None:
        """Notifications are a hint: while the listener is away the sweep's look each second goes on
        alone."""
        while True:
            try:
                await listen(
                    self._settings.listen_url,
                    CHANNELS,
                    self._hear,
                    listener_name(self.presence.server_id),
                )
            except (psycopg.Error, OSError, TimeoutError) as error:
                logger.warning(
                    "listener lost, work is found by polling meanwhile: {}", words_of(error)
                )
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311

    def _hear(self, channel: str, payload: str) -> None:
        if channel == "hodei_work":
            self.dispatcher.wake()
        elif channel:
            self._enqueue_change(f"{channel} {payload}")
        else:
            self.dispatcher.wake()
            for stream in self.presence:
                self._enqueue_change(f"hodei_worker {stream.worker_id}")
                self._enqueue_change(f"hodei_cancel {stream.worker_id}")

    def _enqueue_change(self, change: str) -> None:
        if not self._changed_workers.full():
            self._changed_workers.put_nowait(change)

    async def _notice_changes(self) -> None:
        while True:
            channel, _, payload = (await self._changed_workers.get()).partition(" ")
            try:
                worker_id = uuid.UUID(payload)
            except ValueError:
                continue
            if self.presence.get(worker_id) is None:
                continue
            try:
                if channel == "hodei_cancel":
                    await self.controller.deliver_cancels([worker_id])
                else:
                    for row in await self.database.run(
                        lambda conn, w=worker_id: workers.list_all(conn, worker_id=w)  # type: ignore[misc]
                    ):
                        self.worker_service.notice_change(row)
            except TROUBLE as error:
                logger.warning("{}", words_of(error))


class _Stop:
    """The first signal asks to drain, the second to end."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.twice = asyncio.Event()

    def ask(self) -> None:
        (self.twice if self.asked.is_set() else self.asked).set()

    async def first_of(self, work: Awaitable[None], *, again: bool = False) -> bool:
        """Awaits work unless a signal (with again: the second one) comes first; False: it came.
        Work's own errors go up as they are."""
        event = self.twice if again else self.asked

        async def until_asked(task: asyncio.Task[None]) -> None:
            await event.wait()
            task.cancel()

        async def do() -> None:
            await work

        failed: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(do())
                watcher = group.create_task(until_asked(task))
                await asyncio.wait({task})
                watcher.cancel()
        except* HodeiError as errors:
            failed = errors.exceptions[0]
        if failed:
            raise failed from None
        return not task.cancelled()


def run(settings: Settings) -> None:
    """Runs until stopped. HodeiError: cannot start, and why."""
    gc.freeze()
    gc.set_threshold(
        20_000
    )  # a job leaves hardly a cycle behind: to look for them after each few took a tenth of the time
    try:
        asyncio.run(_run(settings))
    except Unsound as unsound:
        logger.critical("{}", unsound)
        sys.exit(EXIT_UNSOUND)


async def _run(settings: Settings) -> None:
    await Server(settings).run()  # made inside the loop: grpc.aio binds what it makes to it
