"""The name of an image, as people write it and in full."""

import re
from typing import NamedTuple

from hodei_worker.containers.engine import shown

DOCKER_HUB = "docker.io"

_PART = "[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(
    f"([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?/)?{_PART}(/{_PART})*"
    "(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@[a-z0-9]+:[0-9a-fA-F]+)?"
)
"""No part is empty, `.` or `..`: such a name would be matched by the operator's patterns as it stands,
and could be read as the path of another image. The worker checks it whatever a server has checked."""


class BadName(Exception):
    """The message names the image and what was expected."""


class Reference(NamedTuple):
    registry: str  # as docker.io or registry.example:5000
    repository: str  # as library/busybox
    tag: str  # empty if the image is given by its digest alone
    digest: str  # as sha256:…; empty if none is given

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.repository}"

    @property
    def full(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def wanted(self) -> str:
        """Tag or digest, as a pull names it."""
        return self.digest or self.tag


def read(image: str) -> Reference:
    """Reads a name as Docker does: `busybox` is docker.io/library/busybox:latest. Raises BadName."""
    if not _NAME.fullmatch(image):
        raise BadName(
            f"image {shown(image)}: expected the name of an image, as busybox or"
            " registry.example:5000/team/tool:1.2"
        )
    name, _, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    name = folder + slash + last
    first, slash, rest = name.partition("/")
    if not slash or not (first == "localhost" or "." in first or ":" in first):
        first, rest = DOCKER_HUB, name
    if first in ("index.docker.io", DOCKER_HUB):
        first = DOCKER_HUB
        rest = rest if "/" in rest else f"library/{rest}"
    return Reference(first, rest, tag or ("" if digest else "latest"), digest)
