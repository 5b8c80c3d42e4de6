"""Removes containers in the background: of jobs that have ended, and what was left over.

A container of another worker is removed only when a server has said that this worker is gone."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import orjson

from hodei_worker.containers.engine import Engine, EngineError, EngineGone
from hodei_worker.containers.tasks import Tasks
from hodei_worker.supervisor.wire import Leftover

TRIES_S = (0.0, 1.0, 5.0, 20.0)
"""Seconds before each try. What is left after the last one is found by the next sweep."""

LEASE = re.compile("[1-9][0-9]{0,18}")

BY_FORCE = {"force": "1", "v": "1"}  # v: with its anonymous volumes

MOST_LEFTOVERS = 200
"""Containers of other workers that are told of. The others come when these are gone."""

AT_ONCE = 4
"""Containers that are removed at the same time: removals keep the engine's disk busy."""


class Remover:
    """The removals of containers that are under way, and what other workers have left."""

    def __init__(
        self, engine: Engine, owner: str, tasks: Tasks, warn: Callable[[str], None]
    ) -> None:
        """`owner`: the worker's id. Only containers that carry it are swept."""
        self.leftovers: list[Leftover] = []  # of other workers, as of the last sweep
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

    async def purge(self, job_id: str, lease: int) -> None:
        """Removes the container of a lease that no journal knows, or of a leftover."""
        workers = {one["worker_id"] for one in self.leftovers if _is_of(one, job_id, lease)}
        try:
            for worker in (self._owner, *workers):
                labels = [f"hodei.job={job_id}", f"hodei.lease={lease}"]
                for one in await self._found(f"hodei.worker={worker}", *labels):
                    self.remove(str(one["Id"]))
        except (EngineError, EngineGone):
            return  # the next sweep finds it

    async def _found(self, *labels: str) -> list[dict[str, Any]]:
        """Returns the containers that have all of these labels."""
        filters = {"label": labels}
        query = {"all": "1", "filters": orjson.dumps(filters).decode()}
        found = await self._engine.json("GET", "/containers/json", query=query)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    async def sweep(self, live: Callable[[], set[str]]) -> None:
        """Removes containers of this worker whose lease is not `live`. Raises EngineError or
        EngineGone."""
        before = live()
        found = await self._found("hodei.lease", "hodei.worker")
        keep = before | live()
        theirs = [one for one in found if _label(one, "hodei.worker") != self._owner]
        self.leftovers = [_leftover(one) for one in theirs[:MOST_LEFTOVERS]]
        for one in found:
            if one in theirs:
                continue
            lease = _label(one, "hodei.lease")
            name = (one.get("Names") or [str(one.get("Id"))])[0].lstrip("/")
            if lease not in keep and name not in self._under_way:
                self._warn(f"removing a container that no job has any more (lease {lease[:20]})")
                self.remove(name)


def _label(container: dict[str, Any], name: str) -> str:
    labels = container.get("Labels")
    return str(labels.get(name)) if isinstance(labels, dict) else ""


def _leftover(container: dict[str, Any]) -> Leftover:
    lease = _label(container, "hodei.lease")
    return Leftover(
        lease=int(lease) if LEASE.fullmatch(lease) else 0,
        job_id=_label(container, "hodei.job"),
        worker_id=_label(container, "hodei.worker"),
        cluster=_label(container, "hodei.cluster"),
    )


def _is_of(one: Leftover, job_id: str, lease: int) -> bool:
    return (one["lease"], one["job_id"]) == (lease, job_id)
