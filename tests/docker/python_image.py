"""A base image of this machine's own Python: no registry. Stands in for python:3.12-slim."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

from tests.docker.postgres_image import shared_by

NAME = "hodei-test/python:local"
PROGRAMS = (
    *("sh", "cat", "chmod", "chown", "cp", "echo", "find", "grep", "id", "ls", "mkdir", "mv", "rm"),
    *("sleep", "tr"),
)
LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "lib2to3", "__pycache__", "site-packages"}
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
CHANGES = (
    "ENV PATH=/usr/local/bin:/bin",
    f"ENV SSL_CERT_FILE={CERTIFICATES}",
    f"ENV PIP_CERT={CERTIFICATES}",
)


def build() -> None:
    """By `docker import`. The certificates of this host come along: builds ask a package index."""
    library = Path(sysconfig.get_path("stdlib"))
    version = library.name
    program = Path(os.path.realpath(sys.executable))
    flags = [word for change in CHANGES for word in ("--change", change)]
    command = ["docker", "import", *flags, "-", NAME]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as importing,
        tarfile.open(fileobj=importing.stdin, mode="w|") as tar,
    ):
        tar.add(program, "usr/local/bin/python3")
        tar.add(library, f"usr/local/lib/{version}", filter=_needed)
        for place, file in _files(program, library).items():
            tar.add(os.path.realpath(file), place)
        for name, mode in (("tmp", 0o1777), ("root", 0o700), ("var/lib", 0o755)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        for name in ("etc/passwd", "etc/group"):
            tar.addfile(tarfile.TarInfo(name))
    assert importing.returncode == 0


def _files(program: Path, library: Path) -> dict[str, Path]:
    """What is needed beside Python's own files: the file of this machine for each place."""
    found = [path for name in PROGRAMS if (path := shutil.which(name))]
    places = {f"bin/{Path(path).name}": Path(path) for path in found}
    extensions = sorted((library / "lib-dynload").glob("*.so"))
    for file in shared_by([program, *found, *extensions]) | _libraries_of_wheels():
        system = file.is_relative_to("/lib") or file.is_relative_to("/usr/lib")
        system = system or file.is_relative_to("/lib64") or file == Path("/bin/sh")
        places[str(file).lstrip("/") if system else f"usr/lib/{file.name}"] = file
    places[CERTIFICATES[1:]] = Path(os.environ.get("SSL_CERT_FILE", CERTIFICATES))
    return places


def _needed(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if LEFT_OUT & set(Path(info.name).parts) or info.name.endswith(".a") else info


def _libraries_of_wheels() -> set[Path]:
    """What compiled wheels expect of any glibc system, and what the C library opens itself."""
    names = ("libstdc++.so.6", "libgcc_s.so.1", "librt.so.1", "libpthread.so.0", "libdl.so.2")
    folders = [Path(f"/usr/lib/{os.uname().machine}-linux-gnu"), Path("/usr/lib64")]
    paths = [folder / name for folder in folders for name in (*names, "libnss_files.so.2")]
    return {path for path in paths if path.exists()}
