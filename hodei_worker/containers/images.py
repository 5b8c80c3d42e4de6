"""Images on the engine: whether one is there, whether it must be pulled, and what it says of its
program."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hodei_worker.containers import reference
from hodei_worker.containers.engine import Engine, EngineError, shown
from hodei_worker.containers.pulls import PullFailed, Pulls
from hodei_worker.containers.reference import Reference
from hodei_worker.containers.state import STOP_SIGNAL


class Image(NamedTuple):
    """An image on the engine."""

    id: str
    config: dict[str, Any]  # Entrypoint, Cmd, Env, …
    platform: str  # as linux/amd64

    @property
    def stop_signal(self) -> str:
        return str(self.config.get("StopSignal") or STOP_SIGNAL)

    @property
    def environment(self) -> list[str]:
        """NAME=VALUE of each variable."""
        return [str(one) for one in self.config.get("Env") or []]

    def fits(self, platform: str) -> bool:
        """Whether it is for this OS/ARCHITECTURE[/VARIANT]; empty: any will do. Of a variant
        nothing is known."""
        pairs = zip(platform.split("/"), self.platform.split("/"), strict=False)
        return not platform or all(wanted == have for wanted, have in pairs)


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
        found = None if policy == "always" else await self._find(image)
        if not (found and found.fits(platform)):
            if policy == "never":
                why = "this worker pulls none (--pull-policy never)"
                why = why if self._policy == "never" else "pull is never"
                raise PullFailed(f"{_missing(image, platform, found)}, and {why}")
            tell(f"pulling {image.full}")
            await self._pulls.pull(image, platform, login, tell)
            found = await self._find(image)
        if not (found and found.fits(platform)):
            raise PullFailed(f"{_missing(image, platform, found)} after the pull")
        return found

    async def _find(self, image: Reference) -> Image | None:
        try:
            said = await self._engine.json("GET", f"/images/{image.full}/json")
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        if not isinstance(said, dict) or not isinstance(said.get("Config"), dict | None):
            raise EngineError(0, f"the Docker Engine does not describe {image.full}")
        platform = shown(f"{said.get('Os')}/{said.get('Architecture')}")
        return Image(str(said.get("Id")), said.get("Config") or {}, platform)


def _missing(image: Reference, platform: str, found: Image | None) -> str:
    """Returns what is not on the engine. `found`: what is there under that name."""
    words = f"{image.full} is not on the engine"
    return f"{words} as {platform} (it is there as {found.platform})" if found else words
