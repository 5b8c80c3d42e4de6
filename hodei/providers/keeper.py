"""A task for each provider, so that one whose engine hangs, or whose row is nonsense, stops no
other.

Any number of servers do the same: a row is looked after by the one that has its lease
(hodei/store/provider_configs.py). Failure: a reconciliation that fails in an unforeseen way is
logged, and the next one comes as ever."""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Callable
from typing import NamedTuple

from loguru import logger

from hodei.domain.provider import Settings
from hodei.domain.text import words_of
from hodei.providers.contract import Provider
from hodei.providers.kinds import provider_of
from hodei.providers.reconciliation import Here, Next, Reconciliation
from hodei.store import cluster, provider_configs
from hodei.store.cluster import Cluster
from hodei.store.database import TROUBLE, Connection, Database

ROWS_EVERY_S = 5.0
"""Seconds after which the list of rows is read again, on the average."""

RECONCILE_EVERY_S = 2.0
"""Seconds between two reconciliations of one provider."""

SOON_S = 0.3
"""Seconds until the next reconciliation where the last one has changed something."""

YIELD_S = 10.0
"""Seconds for which this server leaves a row to others that it could not look after itself."""

PAUSES = {Next.SOON: SOON_S, Next.AGAIN: RECONCILE_EVERY_S, Next.YIELD: YIELD_S}

LEAVE_WITHIN_S = 2.0
"""Seconds that a stop waits until the rows are given back; if they are not, their leases pass."""


class Keeper:
    """The providers that this server looks after, with a task for each."""

    def __init__(
        self,
        database: Database,
        here: Here,
        make_provider: Callable[[Settings], Provider] = provider_of,
    ) -> None:
        self._database = database
        self._here = here
        self._make_provider = make_provider
        self._log = logger.bind(component="Providers")
        self._cluster: Cluster | None = None
        self._tasks: dict[uuid.UUID, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Looks after the providers that there are, for ever."""
        self._tasks, logged = {}, ""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    self._cluster, rows = await self._database.run(_rows)
                    logged = ""
                except TROUBLE as error:
                    if (words := words_of(error)) != logged:
                        self._log.warning("providers are not looked after: {}", words)
                        logged = words
                    await asyncio.sleep(ROWS_EVERY_S)
                    continue
                for gone in self._tasks.keys() - set(rows):
                    self._tasks.pop(gone).cancel()
                for new in [one for one in rows if one not in self._tasks]:
                    self._tasks[new] = group.create_task(self._keep(new))
                await asyncio.sleep(ROWS_EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311

    async def end(self) -> None:
        """Gives the rows back, if the database answers in time."""
        with contextlib.suppress(*TROUBLE):
            await self._database.run(
                lambda conn: provider_configs.leave(conn, self._here.server_id),
                timeout_s=LEAVE_WITHIN_S,
            )

    async def _keep(self, provider_id: uuid.UUID) -> None:
        one = Reconciliation(self._database, self._here, provider_id, self._make_provider)
        try:
            while True:
                await asyncio.sleep(await self._reconcile(one))
        finally:
            await one.close()

    async def _reconcile(self, one: Reconciliation) -> float:
        """Returns the seconds until the next one."""
        assert self._cluster is not None  # noqa: S101  rows are known with it
        try:
            done = await one.once(self._cluster)
        except TROUBLE as error:
            self._log.debug("a reconciliation waits: {}", words_of(error))
            return RECONCILE_EVERY_S
        except Exception as error:  # noqa: BLE001  whatever it is, the other providers go on
            words = "the reconciliation of provider {} failed"
            self._log.opt(exception=error).error(words, one.provider_id)
            return YIELD_S
        return PAUSES[done]


class _Rows(NamedTuple):
    """Which database this is, and which rows of provider_configs are to be looked after."""

    cluster: Cluster
    ids: list[uuid.UUID]


async def _rows(conn: Connection) -> _Rows:
    return _Rows(await cluster.where(conn), await provider_configs.looked_after(conn))
