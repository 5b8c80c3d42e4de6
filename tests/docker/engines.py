"""A real Docker Engine for tests: the one that answers here, or one of our own."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.eventually import eventually, gone


def socket() -> str:
    """The path of the socket of the engine that `docker` speaks to."""
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


def answers() -> bool:
    return (
        subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=30).returncode
        == 0
    )


@contextmanager
def an_engine() -> Iterator[str]:
    """The one that answers, or one of our own where root has dockerd; gives why there is none."""
    if shutil.which("docker") is None:
        yield "no docker program"
    elif answers():
        yield ""
    elif os.geteuid() != 0 or shutil.which("dockerd") is None:
        yield "no Docker engine answers, and none can be started: not root, or no dockerd"
    else:
        with (
            tempfile.TemporaryDirectory(
                prefix="hodei-docker-", ignore_cleanup_errors=True
            ) as folder,
            pytest.MonkeyPatch.context() as patch,
        ):
            socket = f"unix://{folder}/docker.sock"
            patch.setenv("DOCKER_HOST", socket)
            places = [
                "--data-root",
                f"{folder}/data",
                "--exec-root",
                f"{folder}/exec",
                "--pidfile",
                f"{folder}/pid",
            ]
            with Path(folder, "log").open("w") as log:
                engine = subprocess.Popen(
                    ["dockerd", "-H", socket, *places],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            try:
                deadline = time.monotonic() + 20
                while not answers() and engine.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.2)
                yield (
                    ""
                    if answers()
                    else f"dockerd does not come up: {Path(folder, 'log').read_text()[-300:]}"
                )
            finally:
                engine.terminate()
                engine.wait(30)
                unmount(Path(folder))


def unmount(folder: Path) -> None:
    """An engine mounts its folders upon themselves, and a network namespace into one of them."""
    for place in ("exec/netns/default", "data", "exec"):
        subprocess.run(
            ["umount", "--recursive", f"{folder}/{place}"], capture_output=True, check=False
        )


class OwnEngine:
    """An engine of one test, in a network namespace of its own: beside another one it would take
    that one's bridge away. Its containers have no network."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._folder = folder
        self._flags = flags
        self.socket = f"{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        command = [
            *("unshare", "--net", "dockerd", "--host", f"unix://{self.socket}"),
            *("--bridge", "none", "--iptables=false", "--ip6tables=false"),
            *("--data-root", f"{self._folder}/data", "--exec-root", f"{self._folder}/exec"),
            *("--pidfile", f"{self._folder}/pid", *self._flags),
        ]
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True
            )
        eventually(lambda: self.docker("version", check=False).returncode == 0, 60)
        up = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", "link", "set", "lo", "up"]
        subprocess.run(up, check=True, timeout=30)

    @property
    def pid(self) -> int:
        """A process in its network namespace."""
        assert self._process
        return self._process.pid

    def docker(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["docker", "-H", f"unix://{self.socket}", *arguments],
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
        )

    def down(self) -> None:
        assert self._process
        self._process.terminate()
        self._process.wait(60)

    def kill(self) -> None:
        """As if it had crashed: the containers go on. Its containerd dies with it, and may stay as a
        zombie, which the next engine would take for one that lives."""
        assert self._process
        self._process.kill()
        self._process.wait(60)
        file = self._folder / "exec/containerd/containerd.pid"
        pid = int(file.read_text())
        eventually(lambda: gone(pid))
        file.unlink(missing_ok=True)

    def end(self) -> None:
        """Nothing is left of it."""
        if self._process and self._process.poll() is None:
            if left := self.docker("ps", "-aq", check=False).stdout.split():
                self.docker("rm", "-f", "-v", *left, check=False)
            self.down()
        self._end_shims()
        unmount(self._folder)

    def _end_shims(self) -> None:
        """A crash of an engine may leave the parents of its containers behind."""
        ours = f"{self._folder}/exec/containerd/".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if b"containerd-shim" in command and ours in command:
                    os.kill(int(entry.name), signal.SIGKILL)


def can_be_started() -> str:
    """Why an engine of one's own cannot be started here; empty if it can."""
    if os.geteuid() != 0:
        return "only root can start a Docker Engine"
    needed = ("dockerd", "docker", "unshare", "nsenter", "ip")
    missing = [name for name in needed if not shutil.which(name)]
    return f"no {missing[0]} on this machine" if missing else ""
