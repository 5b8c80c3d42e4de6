"""Removes containers in the background: of jobs that have ended, and what was left over."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from hodei_worker.containers.engine import Engine, EngineError, EngineGone
from hodei_worker.containers.tasks import Tasks

TRIES_S = (0.0, 1.0, 5.0, 20.0)
"""Seconds before each try. What is left after the last one is found by the next sweep."""

BY_FORCE = {"force": "1", "v": "1"}  # v: with its anonymous volumes

AT_ONCE = 4
"""Containers that are removed at the same time: removals keep the engine's disk busy."""


class Remover:
    def __init__(
        self, engine: Engine, owner: str, tasks: Tasks, warn: Callable[[str], None]
    ) -> None:
        """`owner`: the worker's id. Only containers that carry it are swept."""
        self._engine = engine
        self._owner = owner
        self._tasks = tasks
        self._warn = warn
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[str] = set()

    def remove(self, container: str, *, may_come: bool = False) -> None:
        """Begins to remove a container with its anonymous volumes. `may_come`: the engine may still
        be creating it."""
        if container not in self._under_way:
            self._under_way.add(container)
            self._tasks.start(self._remove(container, may_come))

    @property
    def idle(self) -> bool:
        return not self._under_way

    async def _remove(self, container: str, may_come: bool) -> None:
        try:
            for wait_s in TRIES_S:
                await asyncio.sleep(wait_s)
                if await self._try(container) and not may_come:
                    return
        finally:
            self._under_way.discard(container)

    async def _try(self, container: str) -> bool:
        """Returns whether it is gone."""
        try:
            async with self._turns:
                await self._engine.call("DELETE", f"/containers/{container}", query=BY_FORCE)
        except EngineError as error:
            return error.status == 404
        except EngineGone:
            return False
        return True

    async def purge(self, lease: int) -> None:
        """Removes the container of a lease that no journal knows."""
        try:
            for one in await self._ours(f"hodei.lease={lease}"):
                self.remove(str(one["Id"]))
        except (EngineError, EngineGone):
            return  # the next sweep finds it

    async def _ours(self, label: str) -> list[dict[str, Any]]:
        """Returns the containers of this worker that have a label."""
        filters = {"label": [f"hodei.worker={self._owner}", label]}
        query = {"all": "1", "filters": orjson.dumps(filters).decode()}
        found = await self._engine.json("GET", "/containers/json", query=query)
        return found if isinstance(found, list) else []

    async def sweep(self, live: Callable[[], set[str]]) -> None:
        """Removes containers of this worker whose lease is not `live`. Raises EngineError or
        EngineGone."""
        before = live()
        found = await self._ours("hodei.lease")
        keep = before | live()
        for one in found:
            lease = str(one.get("Labels", {}).get("hodei.lease"))
            name = (one.get("Names") or [str(one.get("Id"))])[0].lstrip("/")
            if lease not in keep and name not in self._under_way:
                self._warn(f"removing a container that no job has any more (lease {lease[:20]})")
                self.remove(name)
