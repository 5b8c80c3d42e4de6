"""One reconciliation of a provider: take its row, see what is there, do what the plan says, write
down what came of it.

Level-triggered: nothing is remembered that is needed. What fails is said in the row's
`status_reason`, and the next one begins anew. Failure of this server in the middle: the row's
lease passes, and another server finds what is there."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from loguru import logger

from hodei.domain import provider as rows
from hodei.domain.errors import Invalid
from hodei.domain.provider import Settings, Status
from hodei.domain.text import shown
from hodei.providers import conclusion as conclusions
from hodei.providers.carry_out import ProviderWorkers
from hodei.providers.contract import Engine, Provider, ProviderError, Unanswered
from hodei.providers.idleness import Idleness
from hodei.providers.plan import View, plan
from hodei.store import provider_configs
from hodei.store.cluster import Cluster
from hodei.store.database import Database
from hodei.store.provider_configs import Conclusion, Row

IS_A_COPY = (
    "this database is a copy: its original may have workers on the same engine; `hodei db"
    " adopt-copy` makes it a database of its own"
)


class Next(Enum):
    """When to reconcile next."""

    SOON = "something has changed"
    AGAIN = "as ever"
    YIELD = "another server may be able to do what this one is not"


@dataclass(frozen=True, slots=True)
class Here:
    """What a provider's workers need to know of this server."""

    server_id: uuid.UUID
    advertised: tuple[str, ...]  # addresses that workers are to try
    only_loopback: bool  # no other machine, and no container, can reach this server
    decrypts: bool = False  # this server has keys of secrets

    def lacks(self, settings: Settings) -> str:
        """Why workers of this provider could not reach a server; empty if they could."""
        if not (settings.server_address or self.advertised):
            return (
                "no address that workers could connect to: start hodei-server with --advertise"
                " HOST:PORT, or set the key server_address"
            )
        if self.only_loopback and settings.network != "host":
            return (
                "hodei-server listens on loopback only, where no container reaches it:"
                " give it another --grpc"
            )
        return ""


class Reconciled(NamedTuple):
    """What came of a row, and whether anything was made or removed."""

    conclusion: Conclusion
    changed: bool = False


class Reconciliation:
    """Reconciles one provider, again and again; holds its connection to the engine."""

    def __init__(
        self,
        database: Database,
        here: Here,
        provider_id: uuid.UUID,
        make_provider: Callable[[Settings], Provider],
    ) -> None:
        self._database = database
        self._here = here
        self.provider_id = provider_id
        self._make_provider = make_provider
        self._settings: Settings | None = None
        self._provider: Provider | None = None
        self._idleness = Idleness()
        self._log = logger.bind(component="Providers")
        self._logged = ""

    async def once(self, cluster: Cluster) -> Next:
        """Once. Errors of the database are raised."""
        row = await self._database.run(
            lambda conn: provider_configs.take_lease(conn, self.provider_id, self._here.server_id)
        )
        if row is None:
            return Next.AGAIN
        changed = False
        try:
            async with asyncio.timeout(provider_configs.LEASE_S):
                conclusion, changed = await self._reconcile(row, cluster)
        except (Invalid, ProviderError) as error:
            conclusion = conclusions.refused(
                row, str(error), keeps=not isinstance(error, Unanswered)
            )
        except TimeoutError:
            words = f"one reconciliation took longer than {provider_configs.LEASE_S:g} s"
            conclusion = conclusions.refused(row, words)
        await self._note(row, conclusion)
        if not conclusion.keeps:
            return Next.YIELD
        return Next.SOON if changed else Next.AGAIN

    async def close(self) -> None:
        """Gives up the connection to the engine."""
        provider, self._provider, self._settings = self._provider, None, None
        if provider:
            try:
                await provider.close()
            except ProviderError:
                return  # there is nothing left to close

    async def _reconcile(self, row: Row, cluster: Cluster) -> Reconciled:
        begun = time.monotonic()
        if cluster.is_copy:
            return Reconciled(conclusions.refused(row, IS_A_COPY))
        settings = rows.read(row.id, row.name, row.provider_type, row.config, row.max_workers)
        if lacking := self._here.lacks(settings):
            return Reconciled(conclusions.refused(row, lacking, keeps=False))
        provider = await self._of(settings)
        engine = await provider.contact()
        if refusal := await self._engine_refusal(row, engine):
            return Reconciled(conclusions.refused(row, refusal, keeps=False))
        view = await self._view(row, settings, engine, cluster, provider)
        todo = plan(view)
        servers = settings.server_address or self._here.advertised
        mine = ProviderWorkers(self._database, provider, settings, cluster.cluster_id, servers)
        until = begun + provider_configs.LEASE_S / 2
        done = await mine.carry_out(todo, view.now_s, until)
        conclusion = conclusions.of_plan(row, engine, view, todo, done)
        return Reconciled(conclusion, changed=bool(done.made or done.removed))

    async def _of(self, settings: Settings) -> Provider:
        """The provider for these settings; other settings get another one."""
        if self._provider is None or settings != self._settings:
            await self.close()
            self._provider, self._settings = self._make_provider(settings), settings
        return self._provider

    async def _engine_refusal(self, row: Row, engine: Engine) -> str:
        """Why this engine is not the row's, in words; empty: it is, or is from now on."""
        if not engine.id:
            return "the engine gives no id of itself"
        if not row.engine_id:
            is_first = await self._database.run(
                lambda conn: provider_configs.set_engine(
                    conn, row.id, self._here.server_id, engine.id
                )
            )
            return "" if is_first else "another server has stored the id of its engine first"
        if row.engine_id != engine.id:
            return (
                f"no server reaches engine {shown(row.engine_id)}: the one that answers is"
                f" {shown(engine.id)}; `hodei provider adopt-engine` takes that one"
            )
        return ""

    async def _view(
        self, row: Row, settings: Settings, engine: Engine, cluster: Cluster, provider: Provider
    ) -> View:
        instances = await provider.instances(cluster.cluster_id)
        others = await self._database.run(lambda conn: provider_configs.all_providers(conn, row.id))
        ids = [one.worker_id for one in instances]
        seen = await self._database.run(lambda conn: provider_configs.workers(conn, ids))
        known = self._idleness.of(seen)
        labels = conclusions.labels_of(settings, engine, decrypts=self._here.decrypts)
        first = [
            theirs
            for one in others
            if one.comes_first
            and (theirs := conclusions.labels_that_come_first(one.seen)) is not None
        ]
        most = settings.max_workers * settings.slots + 1
        paused = rows.status_of(row.status) is Status.PAUSED
        demand = (
            0
            if paused
            else await self._database.run(
                lambda conn: provider_configs.demand(conn, labels, first, most)
            )
        )
        return View(
            settings=settings,
            now_s=row.now_s,
            demand=demand,
            labels=labels,
            instances=instances,
            workers=known,
            providers=frozenset({one.id for one in others}),
            paused=paused,
            may_make=engine.has_image,
            failures=row.failures,
            failed_ago_s=row.failed_ago_s,
        )

    async def _note(self, row: Row, conclusion: Conclusion) -> None:
        if conclusion.reason != self._logged:
            self._logged = conclusion.reason
            if conclusion.reason:
                self._log.warning("provider {}: {}", shown(row.name), conclusion.reason)
        if not conclusion.keeps or conclusions.differs(row, conclusion):
            await self._database.run(
                lambda conn: provider_configs.note(conn, row.id, self._here.server_id, conclusion)
            )
