"""Memory and processor time of a container, sampled once a second: what a job uses between its last
sample and its end is not seen."""

import asyncio
from typing import Any

from hodei_worker.containers.engine import Engine, EngineError, EngineGone
from hodei_worker.supervisor.result import Result

EVERY_S = 1.0
ONE_SAMPLE = {"stream": "false", "one-shot": "true"}


class Usage:
    """The most memory and the processor time that were seen of one container."""

    def __init__(self) -> None:
        self._peak_bytes = 0
        self._cpu_us = 0

    async def sample(self, engine: Engine, container: str) -> None:
        """Samples until it is cancelled."""
        path = f"/containers/{container}/stats"
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                self._add(await engine.json("GET", path, query=ONE_SAMPLE))
            except (EngineError, EngineGone, KeyError, TypeError, ValueError):
                continue

    def _add(self, said: Any) -> None:
        """With cgroup version 1 the kernel keeps the peak; with version 2 the engine gives the
        current use."""
        memory = said["memory_stats"]
        used = max(int(memory.get("max_usage") or 0), int(memory.get("usage") or 0))
        self._peak_bytes = max(self._peak_bytes, used)
        self._cpu_us = max(self._cpu_us, int(said["cpu_stats"]["cpu_usage"]["total_usage"]) // 1000)

    def add_to(self, result: Result) -> None:
        result.peak_memory_bytes, result.cpu_us = self._peak_bytes, self._cpu_us
