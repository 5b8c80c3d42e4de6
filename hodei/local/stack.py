"""Servers and a worker as real processes, each with its log file, each ending when we do. Used by
`hodei dev`, the demo and the tests."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hodei.local import child, own_python
from hodei.local.embedded_postgres import CannotStart, free_port

READY_S = 30.0
STOP_S = 15.0
"""For one process after SIGTERM; then it is killed."""

KEPT = ("HODEI_VENV",)
LEVELS = ("HODEI_LOG", "HODEI_LOG_LEVEL")
HIDING = ("warning", "error", "critical")
"""Levels at which a part does not log the words by which others know that it is ready."""

DATABASES = (
    "DATABASE_URL",
    "HODEI_DATABASE_URL",
    "HODEI_DATABASE_URL_FILE",
    "HODEI_LISTEN_URL",
    "HODEI_LISTEN_URL_FILE",
)


def is_for_libpq(name: str) -> bool:
    """PGHOST, PGPASSWORD, PGSERVICE, …: where a database is that an URL does not say."""
    return name.startswith("PG")


def inherited() -> dict[str, str]:
    """The environment of every part: nothing of whoever starts a stack decides how it behaves, and
    no database is in it.

    What a part needs it is given; a worker, whose environment its jobs' user may read, is given no
    database. Levels of the log may be more than usual, not less.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT
        or not (name.startswith("HODEI_") or name in DATABASES or is_for_libpq(name))
    } | {name: _not_hiding(os.environ[name]) for name in LEVELS if name in os.environ}


def _not_hiding(levels: str) -> str:
    """Returns levels as HODEI_LOG has them, without those that are HIDING."""
    said = (part.strip() for part in levels.split(","))
    return ",".join(part for part in said if part.rpartition("=")[2].lower() not in HIDING)


def forget_databases() -> list[str]:
    """Takes every database of others out of our own environment, before one of our own is used;
    returns those that were an URL."""
    found = [name for name in DATABASES if os.environ.get(name)]
    for name in [name for name in os.environ if name in DATABASES or is_for_libpq(name)]:
        del os.environ[name]
    return found


@dataclass
class Part:
    """One process of the stack."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Stack:
    """Starts parts and ends them in the opposite order. `logs` gets a file for each; `tree` is the
    checkout whose programs they are, where that is not the installed one (they start in it, and so
    does whatever they start: Python looks there first)."""

    def __init__(self, logs: Path, tree: Path | None = None) -> None:
        self.logs = logs
        self.tree = tree
        self.parts: list[Part] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, name: str, argv: list[str], environment: dict[str, str] | None = None) -> Part:
        log = self.logs / f"{name}.log"
        if self.tree:
            command, ours = [sys.executable, "-m", *argv], {}
        else:
            command, ours = own_python.command(*argv), own_python.environment()
        with log.open("wb") as file:
            process = subprocess.Popen(
                child.wrapped(command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=inherited() | ours | (environment or {}),
                start_new_session=True,
                cwd=self.tree,
            )
        part = Part(name, process, log)
        self.parts.append(part)
        return part

    def server(
        self,
        name: str,
        database_url: str,
        port: int = 0,
        *flags: str,
        environment: dict[str, str] | None = None,
    ) -> str:
        """A server that is ready; its address."""
        address = f"127.0.0.1:{port or free_port()}"
        argv = ["hodei.cli.server", "--grpc", address, *flags]
        libpq = {name: value for name, value in os.environ.items() if is_for_libpq(name)}
        part = self.start(name, argv, libpq | {"DATABASE_URL": database_url} | (environment or {}))
        self.await_words(part, "hodei-server is ready")
        return address

    def worker(
        self,
        name: str,
        servers: str,
        state_dir: Path,
        token: str | None,
        *flags: str,
        environment: dict[str, str] | None = None,
    ) -> Part:
        """A worker that is connected. Its token travels by environment: arguments are visible to
        everybody."""
        argv = [
            "hodei_worker",
            "--server",
            servers,
            "--state-dir",
            str(state_dir),
            "--on-worker-exit",
            "kill",
            *flags,
        ]
        part = self.start(
            name, argv, ({"HODEI_OTP_TOKEN": token} if token else {}) | (environment or {})
        )
        self.await_words(part, "connected to")
        return part

    @staticmethod
    def await_words(part: Part, words: str, most_s: float = READY_S) -> None:
        """CannotStart, with the end of its log, when the process ends or takes too long."""
        deadline = time.monotonic() + most_s
        while words not in part.log.read_text(errors="replace"):
            if part.ended or time.monotonic() > deadline:
                raise CannotStart(f"{part.name} did not start; {part.log} ends:\n{part.tail()}")
            time.sleep(0.02)

    def first_ended(self) -> Part | None:
        return next((part for part in self.parts if part.ended), None)

    def stop(self) -> None:
        """Workers before servers: their last results still find one."""
        for part in reversed(self.parts):
            self.stop_part(part)
        self.parts.clear()

    @staticmethod
    def stop_part(part: Part, most_s: float = STOP_S) -> None:
        if part.ended:
            return
        part.process.send_signal(signal.SIGTERM)
        try:
            part.process.wait(2.0)
        except subprocess.TimeoutExpired:
            part.process.send_signal(signal.SIGTERM)  # a second one ends at once
            try:
                part.process.wait(most_s)
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()


def mint_token(database_url: str) -> str:
    """As on-call engineers do it."""
    import psycopg

    with psycopg.connect(
        database_url, application_name="hodei dev", client_encoding="UTF8"
    ) as conn:
        row = conn.execute(
            "INSERT INTO worker_bootstrap_tokens DEFAULT VALUES RETURNING token"
        ).fetchone()
        assert row is not None
        return str(row[0])
