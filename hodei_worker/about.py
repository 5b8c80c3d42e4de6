"""What this worker says of its host and its settings when it connects, for people."""

import os
import platform

from hodei.protocol import hodei_pb2 as pb
from hodei_worker.config import CONTROLS, Settings

LONGEST = 200
"""Characters of a text; servers accept no longer one."""


def about(settings: Settings) -> pb.About:
    """Returns the message for the hello; what the host does not tell is left out."""
    said = pb.About(
        host=_text(platform.node()),
        system=_text(f"{platform.system()} {platform.release()} {platform.machine()}"),
        python=_text(platform.python_version()),
        log_limit_bytes=min(settings.log_limit, (1 << 62) - 1),
        on_worker_exit=settings.on_worker_exit,
        on_disconnect=settings.on_disconnect,
        drain_timeout_s=settings.drain_s,
    )
    try:
        said.cpus = len(os.sched_getaffinity(0))
        said.memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        pass  # not on this system
    return said


def _text(text: str) -> str:
    return CONTROLS.sub("?", text)[:LONGEST]
