"""Images on the engine: whether one is there, whether it must be pulled, and what it says of its
program."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hodei_worker.containers import reference
from hodei_worker.containers.engine import Engine, EngineError
from hodei_worker.containers.pulls import PullFailed, Pulls
from hodei_worker.containers.reference import Reference
from hodei_worker.containers.state import STOP_SIGNAL


class Image(NamedTuple):
    """An image on the engine."""

    id: str
    config: dict[str, Any]  # Entrypoint, Cmd, Env, …

    @property
    def stop_signal(self) -> str:
        return str(self.config.get("StopSignal") or STOP_SIGNAL)

    @property
    def path(self) -> list[str]:
        """The folders in which a program without a slash is searched for."""
        variables = dict(one.partition("=")[::2] for one in self.config.get("Env") or [])
        path = (
            variables.get("PATH") or "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        return [folder for folder in path.split(":") if folder]


class Images:
    """Finds the images of jobs on the engine, and has them pulled."""

    def __init__(self, engine: Engine, pulls: Pulls, policy: str) -> None:
        """`policy`: the worker's. With `always` no image is used that merely lies there; with
        `never` none is pulled."""
        self._engine = engine
        self._pulls = pulls
        self._policy = policy

    async def get(self, spec: dict[str, Any], login: str, tell: Callable[[str], None]) -> Image:
        """Returns the image, pulled if it must be. `login`: as in Pulls.pull. `tell` gets lines about
        the progress. Raises PullFailed, EngineError or EngineGone."""
        image, platform = reference.read(spec["image"]), spec.get("platform", "")
        policy = spec.get("pull", "missing")
        if self._policy != "missing":
            policy = self._policy
        found = None if policy == "always" else await self._find(image, platform)
        if found is None:
            if policy == "never":
                raise PullFailed(f"{image.full} is not on the engine, and pull is never")
            tell(f"pulling {image.full}")
            await self._pulls.pull(image, platform, login, tell)
            found = await self._find(image, platform)
        if found is None:
            words = f"{image.full} is not on the engine after the pull"
            raise PullFailed(words + (f" as {platform}" if platform else ""))
        return found

    async def _find(self, image: Reference, platform: str) -> Image | None:
        try:
            said = await self._engine.json("GET", f"/images/{image.full}/json")
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        if not isinstance(said, dict) or not isinstance(said.get("Config"), dict | None):
            raise EngineError(0, f"the Docker Engine does not describe {image.full}")
        have = f"{said.get('Os')}/{said.get('Architecture')}"
        if platform and not f"{platform}/".startswith(f"{have}/"):
            return None
        return Image(str(said.get("Id")), said.get("Config") or {})
