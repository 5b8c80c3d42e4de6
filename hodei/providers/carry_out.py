"""Carries out a plan: in the database first, then at the engine, so that whatever is left half done
is found by the next reconciliation."""

import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from hodei.domain.provider import Settings
from hodei.providers.contract import Order, Provider, ProviderError, Unanswered
from hodei.providers.plan import ACTOR, Plan, Removal
from hodei.store import worker_bootstrap_tokens, workers
from hodei.store.database import Connection, Database

Change = Callable[[Connection, uuid.UUID, str], Awaitable[bool]]
"""Changes a worker for an actor."""

TOKEN_BEYOND_S = 60.0
"""Seconds that a worker's token outlives the time in which it has to connect."""


@dataclass(slots=True)
class Done:
    """What was done."""

    made: int = 0
    removed: int = 0
    failed: str = ""  # why the last worker whose failure counts did not come up; empty: none


@dataclass(frozen=True, slots=True)
class ProviderWorkers:
    """The workers of one provider, for which plans are carried out."""

    database: Database
    provider: Provider
    settings: Settings
    cluster_id: uuid.UUID
    servers: tuple[str, ...]  # addresses that the workers try

    async def carry_out(self, plan: Plan, now_s: float, until: float) -> Done:
        """Does it, and begins nothing more at the engine after `until` (monotonic). Unanswered: the
        engine has gone."""
        done = Done()
        for worker_id in plan.undrain:
            await self._change(workers.undrain, worker_id)
        for worker_id in plan.drain:
            await self._change(workers.drain, worker_id)
        for removal in plan.remove:
            if time.monotonic() < until:
                await self._remove(removal, done)
        for number in plan.make:
            if time.monotonic() < until and not done.failed:
                await self._make(number, now_s, done)
        return done

    async def _change(self, change: Change, worker_id: uuid.UUID) -> None:
        await self.database.run(lambda conn: change(conn, worker_id, ACTOR))

    async def _remove(self, removal: Removal, done: Done) -> None:
        one = removal.instance
        words = removal.why
        try:
            if removal.failed:
                words = await self._why_it_failed(removal)
                done.failed = words if removal.counts else done.failed
            await self._change(workers.revoke, one.worker_id)
            await self.provider.remove(one.name)
        except Unanswered:
            raise
        except ProviderError as error:
            self._log(one.worker_id).warning("{} cannot be removed: {}", one.name, error)
            return
        done.removed += 1
        self._log(one.worker_id).info("{} is removed: {}", one.name, words)

    async def _why_it_failed(self, removal: Removal) -> str:
        said = await self.provider.words(removal.instance.name)
        tried = ", ".join(self.servers)
        return f"worker {removal.instance.name} did not come up at {tried}: {removal.why}; {said}"

    async def _make(self, number: int, now_s: float, done: Done) -> None:
        worker_id = uuid.uuid4()
        ttl_s = self.settings.boot_timeout_s + TOKEN_BEYOND_S
        token = await self.database.run(
            lambda conn: worker_bootstrap_tokens.mint(conn, worker_id, ttl_s, ACTOR)
        )
        order = Order(
            settings=self.settings,
            cluster_id=self.cluster_id,
            worker_id=worker_id,
            number=number,
            made_s=now_s,
            servers=self.servers,
            token=str(token.token),
        )
        try:
            is_made = await self.provider.make(order)
        except ProviderError as error:
            await self._revoke(order)
            if isinstance(error, Unanswered):
                raise
            done.failed = f"{order.name} could not be started: {error}"
            return
        if not is_made:
            await self._revoke(order)
            return
        done.made += 1
        self._log(worker_id).info("{} is started", order.name)

    async def _revoke(self, order: Order) -> None:
        """Nobody can use the token of an order that came to nothing."""
        await self.database.run(
            lambda conn: worker_bootstrap_tokens.revoke(conn, order.token, ACTOR)
        )

    @staticmethod
    def _log(worker_id: uuid.UUID) -> Any:
        return logger.bind(component="Providers", worker_id=worker_id)
