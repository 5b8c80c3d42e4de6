"""Whether this worker can take container jobs: an engine answers, and its disk has room."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from hodei_worker.containers.engine import Engine, EngineError, EngineGone, shown

EVERY_S = 5.0  # seconds between two questions

LEAST_FREE = 0.05
"""Share of the file system of the engine's root below which no container job is taken; it must rise
to AGAIN_FREE before one is taken again."""

AGAIN_FREE = 0.06


class Readiness:
    """Asks the engine regularly, and has the capabilities that follow: none while it is not ready."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.capabilities: list[str] = []
        self._words = ""  # why there are none, as it was told
        self._is_told = False  # that the engine's disk cannot be seen

    async def watch(self, warn: Callable[[str], None]) -> None:
        """Asks the engine, for ever. `warn` gets each change."""
        while True:
            words, said = "", None
            try:
                await self._engine.negotiate()
                said = await self._engine.json("GET", "/info")
                words = self._disk(said, warn)
            except (EngineError, EngineGone) as error:
                words = str(error)
            self.capabilities = [] if words else ["docker", "secrets"]
            if words != self._words:
                warn(f"no container jobs: {words}" if words else "container jobs are taken again")
            self._words = words
            await asyncio.sleep(EVERY_S)

    def _disk(self, said: Any, warn: Callable[[str], None]) -> str:
        """Returns why the engine's disk has too little room. The root of an engine on another host
        is not here, nor is it in a worker's container: then nothing is known, which is told once."""
        root = said.get("DockerRootDir") if isinstance(said, dict) else None
        root = root if isinstance(root, str) and root.startswith("/") else ""
        try:
            disk = os.statvfs(root)
        except (OSError, ValueError):
            if not self._is_told:
                warn(
                    f"how full the Docker Engine's disk is cannot be seen here"
                    f" ({shown(root) or 'its root'}): container jobs are taken however full it is"
                )
            self._is_told = True
            return ""
        least = AGAIN_FREE if self._words else LEAST_FREE
        free = disk.f_bavail / max(1, disk.f_blocks)
        if free >= least:
            return ""
        return (
            f"{root} of the Docker Engine has {free:.1%} of its disk free: expected at least"
            f" {least:.0%}"
        )
