"""The composition root of a server: what it is made of, which loops it runs, and how it stops. The
map of the system."""

import asyncio
import gc
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable

import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from loguru import logger

import hodei
from hodei.access.failed_logins import FailedLogins
from hodei.access.gate import Gate, without_key
from hodei.access.keyring import Keyring
from hodei.access.limits import Limits
from hodei.config import Settings
from hodei.domain.errors import Conflict
from hodei.domain.text import words_of
from hodei.fleet.access import Access
from hodei.fleet.announcement import Announcement
from hodei.fleet.balance import Balancer
from hodei.fleet.heartbeats import Heartbeats
from hodei.fleet.operations import Fleet
from hodei.fleet.presence import Presence
from hodei.fleet.projects import Projects
from hodei.fleet.providers import Providers
from hodei.fleet.registration import Registration
from hodei.fleet.secrets import Secrets
from hodei.fleet.sessions import Sessions
from hodei.flow.cancel import Canceller
from hodei.flow.cancel_many import MassCanceller
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.ends import Ends
from hodei.flow.enqueue import Enqueuer
from hodei.flow.enqueue_all import AllOrNothing
from hodei.flow.jobs import Jobs
from hodei.flow.log_intake import LogIntake
from hodei.flow.log_reader import LogReader
from hodei.flow.lost import LostAttempts
from hodei.flow.maintain import Maintainer
from hodei.flow.retry import Retries
from hodei.flow.retry_many import MassRetries
from hodei.flow.settle import Settler
from hodei.flow.sweeps.sweeper import Sweeper
from hodei.flow.waits import Waits
from hodei.flow.watch import Watch
from hodei.health import Health
from hodei.listeners import AddServices, Listeners
from hodei.notices import Notices
from hodei.on_demand import keeper_of
from hodei.protocol import hodei_pb2, hodei_pb2_grpc
from hodei.rpc.access_service import AccessService
from hodei.rpc.answering import Answering
from hodei.rpc.fleet_service import FleetService
from hodei.rpc.job_service import JobService
from hodei.rpc.project_service import ProjectService
from hodei.rpc.provider_service import ProviderService
from hodei.rpc.secret_service import SecretService
from hodei.rpc.worker_service import WorkerService
from hodei.secrets import keys
from hodei.secrets.values import SecretReader
from hodei.services import EXIT_UNSOUND, Unsound, start
from hodei.stop import Stop, end_after
from hodei.store import schema, servers
from hodei.store.database import Database
from hodei.store.startup import wait_for_database

LEAVE_WITHIN_S = 5.0
"""Seconds that a stop waits for workers to go to another server. Where there is none they stay
until this one ends."""

END_WITHIN_S = 20.0
"""Seconds that a stop may take beyond what workers and calls are given: a database that does not
answer takes up to 15."""

GARBAGE_AFTER = 20_000
"""Objects made after which Python looks for cycles. A job leaves hardly one behind: to look after
each few hundred objects took a tenth of the time."""


class Server:
    """One hodei-server process. It is stateless: whatever it holds in memory may be lost at any
    moment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        database = Database(settings.database_url, prepare=settings.prepare, heal=self._heal)
        self._database = database
        self._limits = Limits(database)
        callers = self._limits.database
        self._keyring = Keyring(database, callers)
        self._failed_logins = FailedLogins(database)
        self._gate = Gate(
            self._keyring,
            self._failed_logins,
            without_key(settings.loopback_role, settings.anonymous_role),
        )
        self._presence = Presence()
        self._keys = keys.read(settings.secret_key_files)
        values = SecretReader(database, self._keys)
        self._dispatcher = JobDispatcher(database, self._presence, values, self._wake_watchers)
        self._enqueuer = Enqueuer(database, self._dispatcher)
        self._followed = Watch(database, ends_only=False)
        self._waited_for = Watch(database, ends_only=True)
        self._settler = Settler(database, self._dispatcher, self._wake_watchers)
        self._canceller = Canceller(database, callers, self._presence)
        self._heartbeats = Heartbeats(database, self._presence, self._dispatcher.wake)
        self._sessions = Sessions(database, self._presence, self._dispatcher.wake, values)
        self._lost = LostAttempts(database, self._presence, self._heartbeats.forgotten)
        self._log_intake = LogIntake(database, self._followed.wake)
        self._balancer = Balancer(database, self._presence)
        self._maintainer = Maintainer(database, settings.keep_days, heal=self._heal)
        work = self._presence, self._dispatcher, self._canceller
        self._sweeper = Sweeper(database, *work, self._lost, settings.lost_after_s)
        self._announcement = Announcement(
            database,
            servers.Self(
                self._presence.server_id,
                settings.addresses,
                socket.gethostname(),
                hodei.__version__,
                settings.lost_after_s,
                self._keys.ids,
                settings.anonymous_role,
            ),
        )
        self._providers = keeper_of(database, self._presence.server_id, settings)
        self._notices = Notices(settings.listen_url, *work, self._sessions, self._keyring)
        self._health = Health(self._sweeper)
        self._stop = Stop()
        self._unsound: Unsound | None = None

    async def run(self) -> None:
        """Serves until it is asked to stop. Invalid: files for TLS do not fit. Conflict: the schema is
        newer than this program, or a port is taken. Unsound: a loop died again and again."""
        self._stop.listen_to_signals()
        listeners = Listeners(self._settings, self._services_of_grpc())
        self._announcement.listens_at(listeners.addresses, listeners.certificate_expires_at)
        if not await self._stop.first_of(wait_for_database(self._settings.database_url)):
            return
        async with self._database:
            await self._serve(listeners)
        if self._unsound:
            raise self._unsound

    async def _serve(self, listeners: Listeners) -> None:
        await self._keyring.read()
        if self._gate.warning:
            logger.warning("{}", self._gate.warning)
        async with asyncio.TaskGroup() as group:
            tasks = start(group, self._services(), self._end_unsound)
            await listeners.start()
            logger.success("hodei-server is ready on {}", listeners.addresses)
            await self._stop.asked.wait()
            end_after(LEAVE_WITHIN_S + self._settings.drain_s + END_WITHIN_S)
            await self._drain(listeners)
            for task in tasks:
                task.cancel()
            await self._announcement.end()
            await self._providers.end()
        logger.info("hodei-server has ended")

    def _services(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """The loops of a server, by the names that they have in the log."""
        return {
            "enqueue": self._enqueuer.run,
            "control": self._settler.run,
            "lost attempts": self._lost.run,
            "logs": self._log_intake.run,
            "heartbeats": self._heartbeats.run,
            "dispatch": self._dispatcher.run,
            "rescue": self._sweeper.run,
            "balance": self._balancer.run,
            "streams' ends": self._sessions.run,
            "maintenance": self._maintainer.run,
            "listen": self._notices.listen,
            "changes of workers": self._notices.act,
            "health": self._health.run,
            "announcement": self._announcement.run,
            "workers on demand": self._providers.run,
            "followed jobs": self._followed.run,
            "jobs waited for": self._waited_for.run,
            "requests": self._limits.readings.run,
            "API keys": self._keyring.run,
            "refused calls": self._failed_logins.run,
        }

    def _wake_watchers(self, job_id: uuid.UUID) -> None:
        """Tells who watches a job that an attempt of it has ended."""
        self._followed.wake(job_id)
        self._waited_for.wake(job_id)

    # ── the end ──

    def _end_unsound(self, unsound: Unsound) -> None:
        """A loop that cannot live must not claim: this server drains, and ends with an exit code of
        its own."""
        self._unsound = self._unsound or unsound
        self._dispatcher.stop_claiming()
        self._stop.asked.set()

    async def _drain(self, listeners: Listeners) -> None:
        """Claims nothing, sends the workers elsewhere and lets calls end, until a second request to
        stop or the term ends it."""
        logger.info(
            "draining: workers are sent to other servers, calls may end, at most {:g} s",
            self._settings.drain_s,
        )
        self._dispatcher.stop_claiming()
        self._health.drain()
        self._sessions.send_away("this server is shutting down")
        await self._stop.first_of(self._streams_gone(), again=True)
        term_s = None if self._stop.asked_twice.is_set() else self._settings.drain_s
        await self._stop.first_of(listeners.stop(term_s), again=True)
        await listeners.stop(None)

    async def _streams_gone(self) -> None:
        try:
            async with asyncio.timeout(min(LEAVE_WITHIN_S, self._settings.drain_s)):
                while len(self._presence):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return

    # ── gRPC ──

    def _services_of_grpc(self) -> AddServices:
        """Returns what adds all services to a gRPC server. They are made once for all of them."""
        worker, jobs = self._worker_service(), JobService(self._jobs())
        fleet = FleetService(Fleet(self._limits.database))
        access = AccessService(Access(self._limits.database, self._gate))
        projects = ProjectService(Projects(self._limits.database))
        secrets = SecretService(Secrets(self._limits.database, self._keys))
        providers = ProviderService(Providers(self._limits.database))
        ours = [service.full_name for service in hodei_pb2.DESCRIPTOR.services_by_name.values()]
        names = (*ours, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflecting = reflection.aio.ReflectionServicer(names)

        def add(server: grpc.aio.Server, on_loopback: bool) -> None:
            answering = Answering(server, self._limits, self._gate, on_loopback=on_loopback)
            hodei_pb2_grpc.add_WorkerServiceServicer_to_server(worker, answering)
            hodei_pb2_grpc.add_JobServiceServicer_to_server(jobs, answering)
            hodei_pb2_grpc.add_FleetServiceServicer_to_server(fleet, answering)
            hodei_pb2_grpc.add_AccessServiceServicer_to_server(access, answering)
            hodei_pb2_grpc.add_ProjectServiceServicer_to_server(projects, answering)
            hodei_pb2_grpc.add_SecretServiceServicer_to_server(secrets, answering)
            hodei_pb2_grpc.add_ProviderServiceServicer_to_server(providers, answering)
            health_pb2_grpc.add_HealthServicer_to_server(self._health.service, answering)
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflecting, answering)

        return add

    def _worker_service(self) -> WorkerService:
        return WorkerService(
            Registration(self._database),
            self._sessions,
            self._heartbeats,
            self._settler,
            self._canceller,
            self._log_intake,
            self._settings.lost_after_s,
        )

    def _jobs(self) -> Jobs:
        callers = self._limits.database
        waits = Waits(callers)
        return Jobs(
            callers,
            self._enqueuer,
            AllOrNothing(self._database, callers),
            self._canceller,
            MassCanceller(self._database, callers),
            Retries(self._database, callers, self._dispatcher),
            MassRetries(self._database, callers, self._dispatcher),
            LogReader(callers, self._followed, waits),
            waits,
            Ends(callers, self._waited_for, waits, self._limits.jobs_waited_for),
        )

    # ── the schema ──

    async def _heal(self) -> None:
        """Mends the schema when something of it is gone. What cannot be mended from here (a newer
        schema, a role that may not) is logged, and the call that met it fails."""
        try:
            words = await schema.ensure(self._settings.database_url)
        except Conflict as error:
            logger.error("the schema cannot be healed: {}", words_of(error))
        else:
            if words.startswith("applied"):
                logger.warning(words)


def run(settings: Settings) -> None:
    """Runs a server until it is stopped. HodeiError: it cannot start, and why."""
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    try:
        asyncio.run(_run(settings))
    except Unsound as unsound:
        logger.critical("{}", unsound)
        sys.exit(EXIT_UNSOUND)


async def _run(settings: Settings) -> None:
    await Server(settings).run()  # made inside the loop: grpc.aio binds what it makes to it
