"""Throw-away servers, each in a temporary folder, on loopback only, with the settings it comes
with."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from bench.peers.setup import Tools, Unavailable
from hodei.local import child
from hodei.local.embedded_postgres import EmbeddedPostgres, free_port

HOST = "127.0.0.1"
READY_S = 60.0


@dataclass
class Service:
    words: str  # its name and version
    fresh: Callable[[], str]  # an empty one's address
    settle: Callable[[str], None] = lambda url: (
        None
    )  # what its own housekeeping would do before long, done now


@contextlib.contextmanager
def service(kind: str, tools: Tools) -> Iterator[Service]:
    starts = {"redis": _redis, "rabbitmq": _rabbitmq, "postgres": _postgres}
    folder = Path(tempfile.mkdtemp(prefix=f"hodei-bench-{kind}-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user
    try:
        with starts[kind](tools, folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _redis(tools: Tools, folder: Path) -> Iterator[Service]:
    port = free_port()
    argv = [str(tools["redis-server"]), "--bind", HOST, "--port", str(port), "--dir", str(folder)]

    def ask(words: str) -> bytes:
        return _answer(port, f"{words}\r\n".encode())

    def fresh() -> str:
        if not ask("FLUSHALL").startswith(b"+OK"):
            raise Unavailable("redis could not be emptied")
        return f"redis://{HOST}:{port}/0"

    with started(argv, folder / "log", folder) as process:
        _await(process, folder / "log", lambda: ask("PING").startswith(b"+PONG"))
        version = _found(rb"redis_version:([\d.]+)", ask("INFO server"))
        yield Service(f"redis {version}", fresh)


@contextlib.contextmanager
def _rabbitmq(tools: Tools, folder: Path) -> Iterator[Service]:
    """Its nodes find each other through epmd, which a node would start for good: this one has its
    own, which ends with it."""
    program, epmd = tools["rabbitmq-server"], shutil.which("epmd")
    if not epmd:
        raise Unavailable("epmd, of Erlang, is not on this machine")
    port, names = free_port(), free_port()
    environment = _rabbitmq_environment(folder, port, names)
    greeting = b""

    def greets() -> bool:
        nonlocal greeting
        greeting = _answer(port, b"AMQP\x00\x00\x09\x01")
        return bool(greeting)

    with (
        started(
            [epmd, "-address", HOST, "-port", str(names)], folder / "epmd-log", folder, environment
        ),
        started([str(program)], folder / "log", folder, environment) as process,
    ):
        _await(process, folder / "log", greets)
        version = _found(rb"\x07versionS....([\d.]+)", greeting)
        yield Service(f"rabbitmq {version}", lambda: f"amqp://guest:guest@{HOST}:{port}//")


def _rabbitmq_environment(folder: Path, port: int, names: int) -> dict[str, str]:
    """Nothing of a RabbitMQ that is installed here, neither its settings nor its cookie, is read or
    written."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")},
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": "hodei-bench@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_CONFIG_FILES": str(folder / "none.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none-advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "no-plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }


@contextlib.contextmanager
def _postgres(tools: Tools, folder: Path) -> Iterator[Service]:
    """A new database each time: what earlier rows left behind would be the next one's burden."""
    with (
        EmbeddedPostgres(folder / "postgres") as server,
        psycopg.connect(server.dsn(), autocommit=True) as conn,
    ):

        def fresh() -> str:
            name = sql.Identifier("peer")
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            conn.execute(sql.SQL("CREATE DATABASE {}").format(name))
            return server.dsn("peer")

        def settle(url: str) -> None:
            with psycopg.connect(url, autocommit=True) as inside:
                inside.execute("VACUUM ANALYZE")
                inside.execute("CHECKPOINT")

        version = conn.info.server_version
        yield Service(f"postgresql {version // 10000}.{version % 10000}", fresh, settle)


@contextlib.contextmanager
def started(
    argv: list[str], log: Path, folder: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is told to end with us, and is ended when the block is."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            child.wrapped(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(0.05)
    raise Unavailable(f"{Path(log.parent).name} did not start: {last_words(log)}")


def last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def _answer(port: int, words: bytes) -> bytes:
    """What a server says at once: its greeting, or one short reply."""
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(words)
        return connection.recv(64 << 10)


def _found(pattern: bytes, text: bytes) -> str:
    match = re.search(pattern, text, re.DOTALL)
    return match.group(1).decode() if match else "of unknown version"
