"""What the operator of this worker lets jobs use: images, volumes and networks."""

import fnmatch
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hodei_worker.containers.reference import Reference

BRIDGE, NONE = "bridge", "none"

FILES = "/hodei"
"""An anonymous volume in the container with the job's script and standard input. Nothing of the
worker's file system is mounted, so that the engine may be on another host."""

NEVER = ("/proc", "/sys", "/dev")
"""Folders of the host of which no part is ever given to a job; nor are `/` and the engine's socket."""


class NotAllowed(Exception):
    """The message names what the job asks for, and what the operator would have to allow."""


@dataclass(frozen=True)
class Allowed:
    """Patterns with `*` and `?`. No pattern for images: any image."""

    images: Sequence[str]
    volumes: Sequence[str]
    networks: Sequence[str]
    socket: str  # of the engine

    def check_image(self, image: Reference) -> None:
        """The patterns are matched on the full name, as docker.io/library/busybox:latest."""
        patterns = self.images
        if patterns and not any(fnmatch.fnmatchcase(image.full, one) for one in patterns):
            raise NotAllowed(
                f"image {image.full} is not allowed on this worker: it allows"
                f" {', '.join(patterns)} (--allow-image)"
            )

    def check_network(self, network: str) -> None:
        """`container:NAME` would join the network of another container: it is never allowed."""
        may = (BRIDGE, NONE, *self.networks)
        if network.startswith("container:") or network not in may:
            raise NotAllowed(
                f"network {network} is not allowed on this worker: it allows {', '.join(may)}"
                " (--allow-network)"
            )

    def check_volume(self, volume: str) -> str:
        """Returns the engine's form of `SOURCE:TARGET[:ro]`. Raises NotAllowed."""
        source, separator, rest = volume.partition(":")
        target, _, mode = rest.partition(":")
        if not separator or mode not in ("", "ro", "rw"):
            raise NotAllowed(f"volume {volume}: expected /SOURCE:/TARGET or /SOURCE:/TARGET:ro")
        for path in (source, target):
            if not path.startswith("/") or path != posixpath.normpath(path):
                raise NotAllowed(
                    f"volume {volume}: expected absolute paths without . and .., got {path}"
                )
        if not self._may_mount(source):
            may = ", ".join(self.volumes) or "none"
            raise NotAllowed(
                f"volume {source} is not allowed on this worker: it allows {may} (--allow-volume)"
            )
        if target == "/" or _holds(FILES, target):
            raise NotAllowed(f"volume {volume}: a job's own files are at {target}")
        return f"{source}:{target}:{mode or 'rw'}"

    def _may_mount(self, source: str) -> bool:
        if source == "/" or any(_holds(never, source) for never in NEVER):
            return False
        if _holds(source, self.socket) or _holds(source, posixpath.realpath(self.socket)):
            return False
        return any(_glob(pattern).fullmatch(source) for pattern in self.volumes)


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _glob(pattern: str) -> re.Pattern[str]:
    """`*` and `?` do not stand for a slash."""
    words = {"*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(c) or re.escape(c) for c in pattern))
