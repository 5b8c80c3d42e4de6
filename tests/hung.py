"""A program and a folder that hang, for tests of starts."""

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HOLDS = """
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1])
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
"""

LAZILY = 2  # MNT_DETACH


class HungProgram:
    """A program whose start hangs until it is released. It says in its folder that it ran."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o777)
        self.path = folder / "program"
        self.ran = folder / "ran"
        self.path.write_text(f"#!/bin/sh\ntouch {self.ran}; echo ran\n")
        self.path.chmod(0o755)
        command = [sys.executable, "-c", HOLDS, str(self.path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._holder = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
        assert self._holder.stdout.read(5) == b"held\n"

    @property
    def command(self) -> list[str]:
        return [str(self.path)]

    def release(self) -> None:
        self._holder.communicate()


@pytest.fixture
def hung() -> Iterator[HungProgram]:
    with tempfile.TemporaryDirectory(prefix="hodei-hung-") as folder:
        program = HungProgram(Path(folder))
        yield program
        program.release()


@pytest.fixture
def hung_folder() -> Iterator[Path]:
    """Whoever enters it hangs, until it is killed."""
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(prefix="hodei-hung-") as folder:
        Path(folder).chmod(0o755)
        place = Path(folder) / "mounted"
        place.mkdir()
        try:
            fuse = os.open("/dev/fuse", os.O_RDWR)
        except OSError as error:
            pytest.skip(f"this process may mount no file system of its own: {error}")
        options = f"fd={fuse},rootmode=40777,user_id=0,group_id=0,allow_other".encode()
        if libc.mount(b"hung", bytes(place), b"fuse", 0, options):
            os.close(fuse)
            pytest.skip("this process may mount no file system")
        yield place
        os.close(fuse)
        libc.umount2(bytes(place), LAZILY)
