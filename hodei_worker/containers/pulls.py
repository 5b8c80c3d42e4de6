"""Pulls of images. Jobs that want the same image share one pull."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson

from hodei_worker.containers.credentials import NoCredential, registry_auth
from hodei_worker.containers.engine import Engine, EngineError, EngineGone, broken, shown
from hodei_worker.containers.reference import Reference
from hodei_worker.containers.tasks import Tasks

SILENT_S = 120.0
"""Seconds without a byte after which a pull has failed."""

TELL_EVERY_S = 5.0
"""Seconds between two notices of a pull's progress. A pull may send thousands of lines a second."""

MOST_LINE = 1 << 20
"""Bytes of one line of progress; a longer one fails the pull."""

MOST_LAYERS = 1000
"""Layers whose progress is counted."""


class PullFailed(Exception):
    """The message has the engine's words."""


class _Pull:
    """One pull under way, with those who wait for it."""

    def __init__(self) -> None:
        self.tell: list[Callable[[str], None]] = []
        self.task: asyncio.Task[str | EngineGone | None] | None = None


class Pulls:
    """The pulls of images that are under way."""

    def __init__(self, engine: Engine, docker_config: str, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks
        self._docker_config = docker_config
        self._under_way: dict[tuple[str, str, str], _Pull] = {}

    async def pull(
        self, image: Reference, platform: str, login: str, tell: Callable[[str], None]
    ) -> None:
        """Returns when the image is there. `login`: USER:PASSWORD for its registry, or empty for
        the configured one. `tell` gets a line about the progress now and then. A pull that nobody
        waits for any more is given up. Raises PullFailed, or EngineGone if the engine went away
        meanwhile."""
        key = (image.full, platform, login)
        one = self._under_way.get(key)
        if one is None:
            one = self._under_way[key] = _Pull()
            one.task = self._tasks.start(self._run(image, platform, login, one.tell))
        assert one.task  # noqa: S101  set with the entry
        one.tell.append(tell)
        try:
            end = await asyncio.shield(one.task)
        finally:
            one.tell.remove(tell)
            if not one.tell:
                self._under_way.pop(key, None)
                one.task.cancel()
        if end is None:
            raise PullFailed("an error of the worker; its log has more")
        if isinstance(end, EngineGone):
            raise EngineGone(str(end))
        if end:
            raise PullFailed(end)

    async def _run(
        self, image: Reference, platform: str, login: str, tell: list[Callable[[str], None]]
    ) -> str | EngineGone:
        """Returns why the pull has failed; empty if the image is there."""
        progress = _Progress(image.full, tell)
        query = {"fromImage": image.name, "tag": image.wanted}
        query |= {"platform": platform} if platform else {}
        try:
            auth = await registry_auth(self._docker_config, image.registry, login)
            headers = {"X-Registry-Auth": auth} if auth else {}
            async with (
                asyncio.timeout(SILENT_S) as silence,
                self._engine.stream("POST", "/images/create", query, headers) as content,
            ):
                with broken():
                    async for data in content.iter_any():
                        silence.reschedule(asyncio.get_running_loop().time() + SILENT_S)
                        progress.feed(data)
        except TimeoutError:
            return f"nothing came for {SILENT_S:g} s"
        except EngineGone as error:
            return error
        except (NoCredential, EngineError, PullFailed) as error:
            return str(error)
        return progress.error


class _Progress:
    """Reads the lines of a pull: JSON objects with a status, an error, and the bytes of a layer."""

    def __init__(self, image: str, tell: list[Callable[[str], None]]) -> None:
        self._image = image
        self._tell = tell
        self._line = bytearray()
        self._layers: dict[str, tuple[int, int]] = {}  # id → bytes that are there, of how many
        self._told_at = time.monotonic()
        self.error = ""

    def feed(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._read(bytes(self._line) + line)
            self._line.clear()
        self._line += rest
        if len(self._line) > MOST_LINE:
            raise PullFailed(f"the engine sent a line of more than {MOST_LINE} bytes")
        if time.monotonic() - self._told_at >= TELL_EVERY_S:
            self._told_at = time.monotonic()
            self._say()

    def _read(self, line: bytes) -> None:
        try:
            said: Any = orjson.loads(line)
        except ValueError:
            return
        if not isinstance(said, dict):
            return
        if "error" in said:
            self.error = shown(str(said["error"])) or "the engine gave no reason"
        detail, layer = said.get("progressDetail"), str(said.get("id"))[:80]
        if isinstance(detail, dict) and (layer in self._layers or len(self._layers) < MOST_LAYERS):
            here, whole = detail.get("current"), detail.get("total")
            if isinstance(here, int) and isinstance(whole, int):
                self._layers[layer] = here, whole

    def _say(self) -> None:
        here, whole = (sum(one[at] for one in self._layers.values()) for at in (0, 1))
        amount = f": {here >> 20} of {whole >> 20} MiB" if whole else ""
        for tell in list(self._tell):
            tell(f"pulling {self._image}{amount}")
