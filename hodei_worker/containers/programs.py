"""Whether a container has a program. The engine's init starts any container, and a program that is
missing would look like a job that ended with exit code 127."""

import posixpath

from hodei_worker.containers.engine import Engine, EngineError
from hodei_worker.containers.images import Image

MOST_FOLDERS = 16  # of PATH in which the program is searched for
MOST_KNOWN = 1000  # programs that are remembered; others are searched for each time


class Programs:
    """Looks for programs in containers, and remembers which images have them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: set[tuple[str, str]] = set()  # (image's id, program) that were found

    async def has(self, container: str, image: Image, program: str) -> bool:
        """A program that can be anywhere, as relative to a working folder, counts as there."""
        if (image.id, program) in self._known:
            return True
        if program.startswith("/"):
            places = [program]
        elif "/" in program:
            return True
        else:
            places = [posixpath.join(folder, program) for folder in image.path[:MOST_FOLDERS]]
        for place in places:
            if await self._is_there(container, place):
                if len(self._known) < MOST_KNOWN:
                    self._known.add((image.id, program))
                return True
        return False

    async def _is_there(self, container: str, path: str) -> bool:
        try:
            await self._engine.call(
                "HEAD", f"/containers/{container}/archive", query={"path": path}
            )
        except EngineError as error:
            return error.status != 404
        return True
