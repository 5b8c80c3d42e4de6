"""What the operator of this worker lets jobs use: images, volumes and networks."""

import fnmatch
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hodei_worker.containers.reference import Reference

BRIDGE, NONE = "bridge", "none"

FILES = "/hodei"
"""An anonymous volume in the container with the job's script and standard input. Nothing of the
worker's file system is mounted, so that the engine may be on another host."""

NEVER = ("/proc", "/sys", "/dev")
"""Folders of the host of which no part is ever given to a job."""

SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd", "/var/run/containerd")
"""Where engines listen that give whoever uses them the whole host. They, what is below them and the
folders above them are never given to a job; nor is the socket of this worker's engine."""


class NotAllowed(Exception):
    """The message names what the job asks for, and what the operator would have to allow."""


class Volume(NamedTuple):
    source: str  # folder or file of the engine's host
    target: str  # its place in the container
    read_only: bool


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

    def check_volume(self, volume: str) -> Volume:
        """Reads `SOURCE:TARGET[:ro]`. Raises NotAllowed."""
        source, separator, rest = volume.partition(":")
        target, _, mode = rest.partition(":")
        if not separator or mode not in ("", "ro", "rw"):
            raise NotAllowed(f"volume {volume}: expected /SOURCE:/TARGET or /SOURCE:/TARGET:ro")
        _check_path(f"volume {volume}", source)
        if self._is_never(source) or self._is_never(posixpath.realpath(source)):
            raise NotAllowed(
                f"volume {source} is never allowed: it is, holds or leads to a part of"
                f" {', '.join(NEVER)} or an engine's socket"
            )
        if not any(_glob(pattern).fullmatch(source) for pattern in self.volumes):
            may = ", ".join(self.volumes) or "none"
            raise NotAllowed(
                f"volume {source} is not allowed on this worker: it allows {may} (--allow-volume)"
            )
        check_target(f"volume {volume}", target)
        return Volume(source, target, read_only=mode == "ro")

    def _is_never(self, source: str) -> bool:
        """Callers ask it of where a link leads, too, as the engine follows it. On another host, or
        in a worker's container, links cannot be seen."""
        if any(_holds(never, source) for never in NEVER):
            return True
        sockets = (*SOCKETS, self.socket, posixpath.realpath(self.socket))
        return any(_holds(source, one) or _holds(one, source) for one in sockets)


def check_target(what: str, path: str) -> None:
    """Raises NotAllowed if nothing can be mounted there. `what`: what the job asks for, as it gives
    it."""
    _check_path(what, path)
    if path == "/" or _holds(FILES, path):
        raise NotAllowed(f"{what}: a job's own files are at {path}")


def _check_path(what: str, path: str) -> None:
    """posixpath.normpath keeps two slashes at the beginning, which mean one to the kernel."""
    normal = path.startswith("/") and not path.startswith("//") and path == posixpath.normpath(path)
    if not normal or min(path) < " ":
        raise NotAllowed(f"{what}: expected absolute paths without //, . and .., got {path}")


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _glob(pattern: str) -> re.Pattern[str]:
    """`*` and `?` do not stand for a slash."""
    words = {"*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(c) or re.escape(c) for c in pattern))
