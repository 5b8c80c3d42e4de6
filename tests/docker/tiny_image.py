"""A small image of this machine's own programs: no registry, no network."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.docker.postgres_image import shared_by

NAME = "hodei-test/tiny:local"
PROGRAMS = (
    *("sh", "cat", "head", "tail", "sleep", "env", "id", "touch", "dd", "ls", "mkdir", "tr"),
    *("date", "seq", "true", "yes", "wc", "sha256sum", "nproc", "stat", "printf"),
)


def build(socket: str = "") -> None:
    """By `docker import`. Its own command is `echo own`. `socket`: of the engine; empty: the one
    that `docker` speaks to."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        found = [path for name in PROGRAMS if (path := shutil.which(name))]
        places = {f"bin/{Path(path).name}": path for path in found}
        places |= {str(file).lstrip("/"): str(file) for file in shared_by(found)}
        for place, source in places.items():
            tar.add(os.path.realpath(source), place)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    changes = ["ENV PATH=/bin", 'CMD ["/bin/sh", "-c", "echo own"]']
    flags = [word for change in changes for word in ("--change", change)]
    where = ["-H", f"unix://{socket}"] if socket else []
    command = ["docker", *where, "import", *flags, "-", NAME]
    subprocess.run(command, input=content.getvalue(), check=True, capture_output=True, timeout=120)
