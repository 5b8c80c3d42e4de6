"""Whether a container has a program. The engine's init starts any container, and a program that is
missing would look like a job that ended with exit code 127."""

import posixpath
from collections.abc import Sequence

from hodei_worker.containers.engine import Engine, EngineError
from hodei_worker.containers.images import Image

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""An engine's, where neither the image nor the job gives one."""

MOST_FOLDERS = 16
"""Folders of PATH in which a program is searched for; with more of them it counts as there."""

MOST_KNOWN = 1000  # programs that are remembered; others are searched for each time


def search_path(*environments: Sequence[str]) -> str:
    """Returns the PATH of a container. Of these lists of NAME=VALUE a later one goes before."""
    variables = dict(one.partition("=")[::2] for many in environments for one in many)
    return variables.get("PATH", DEFAULT_PATH)


class Programs:
    """Looks for programs in containers, and remembers which images have them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: set[tuple[str, str, str]] = set()  # (image's id, PATH, program), found ones

    async def has(self, container: str, image: Image, path: str, program: str) -> bool:
        """`path`: PATH in the container. A program that can be anywhere, as relative to a working
        folder, counts as there."""
        key = (image.id, path, program)
        if key in self._known:
            return True
        for place in (places := _places(path, program)):
            if await self._is_there(container, place):
                if len(self._known) < MOST_KNOWN:
                    self._known.add(key)
                return True
        return not places

    async def _is_there(self, container: str, path: str) -> bool:
        try:
            await self._engine.call(
                "HEAD", f"/containers/{container}/archive", query={"path": path}
            )
        except EngineError as error:
            return error.status != 404
        return True


def _places(path: str, program: str) -> list[str]:
    """Returns where a program can be; none: anywhere."""
    if program.startswith("/"):
        return [program]
    folders = path.split(":")
    relative = any(not folder.startswith("/") for folder in folders)  # the working folder's
    if "/" in program or relative or len(folders) > MOST_FOLDERS:
        return []
    return [posixpath.join(folder, program) for folder in folders]
