"""A server that containers of an engine can reach, the providers of its database, and what they
make."""

import json
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg

from hodei.local.embedded_postgres import free_port
from hodei.local.stack import Stack
from tests.conftest import SCHEMA
from tests.docker.tiny_image import NAME as TINY
from tests.docker.workers import docker
from tests.eventually import eventually
from tests.running import Hodei, new_database

NAME = "Docker"
"""Of the provider that a test makes, if it says nothing else."""


@dataclass
class Providing(Hodei):
    """A Hodei with one server, at an address that containers reach."""

    socket: str = ""

    def add(self, name: str = NAME, max_workers: int = 3, priority: int = 0, **config: Any) -> str:
        """A provider, by SQL as the guide does it. Returns its id."""
        provider = str(uuid.uuid4())
        config = {"socket_path": self.socket, "idle_time": 300} | config
        self.sql(
            "INSERT INTO provider_configs (id, name, provider_type, config, max_workers, priority)"
            " VALUES (%s, %s, 'DOCKER', %s::jsonb, %s, %s)",
            *(provider, name, json.dumps(config), max_workers, priority),
        )
        return provider

    def provider(self, name: str = NAME) -> SimpleNamespace:
        keys = "status, status_reason, engine_id, failures, seen, reconciler_id"
        (row,) = self.sql(f"SELECT {keys} FROM provider_configs WHERE name = %s", name)
        return SimpleNamespace(**dict(zip(keys.split(", "), row, strict=True)))

    def reason(self, words: str, name: str = NAME, most_s: float = 40.0) -> str:
        """Waits until the provider's reason has these words."""
        said = eventually(lambda: words in self.provider(name).status_reason, most_s)
        assert said
        return str(self.provider(name).status_reason)

    def looked(self, name: str = NAME) -> None:
        """Waits until a server has met the provider's engine, and looked at it once more."""
        eventually(lambda: self.provider(name).seen, 30)
        until = "SELECT reconciler_until FROM provider_configs WHERE name = %s"
        before = self.sql(until, name)
        eventually(lambda: self.sql(until, name) > before, 30)

    @property
    def cluster(self) -> str:
        return str(self.sql("SELECT cluster_id FROM hodei_schema")[0][0])

    def docker(self, *arguments: str) -> str:
        return docker("-H", f"unix://{self.socket}", *arguments)

    def containers(self, *flags: str) -> list[str]:
        """Names of the workers' containers of this database, running ones only without flags."""
        label = f"label=hodei.provider.cluster={self.cluster}"
        return sorted(
            self.docker("ps", "--format", "{{.Names}}", "--filter", label, *flags).split()
        )

    def connected(self) -> list[str]:
        """Names of workers that are there."""
        found = self.sql("SELECT name FROM workers WHERE connected ORDER BY name")
        return [name for (name,) in found]

    def jobs(self, count: int, command: str = "sleep 1", **spec: Any) -> list[str]:
        specs = "\n".join(json.dumps({"command": command, **spec}) for _ in range(count))
        return self.submit("--file", "-", stdin=specs.encode()).split()

    def clean(self) -> None:
        self.stack.stop()
        if left := self.containers("-a"):
            self.docker("rm", "-f", "-v", *left)
        self.conn.close()


def reached_at(engine: str, image: str) -> str:
    """An address of this machine that containers of the engine reach; empty: there is none.

    That is the gateway of their network, or where the engine is in a network of its own the gateway
    of that one. `image` has Python."""
    for network in ("bridge", "host"):
        routes = in_container(engine, TINY, network, "cat", "/proc/net/route")
        for line in routes.splitlines()[1:]:
            _, destination, gateway = line.split()[:3]
            address = socket.inet_ntoa(bytes.fromhex(gateway)[::-1])
            if destination == "00000000" and is_reached(engine, image, address):
                return address
    return ""


def is_reached(engine: str, image: str, address: str) -> bool:
    """Whether containers reach this machine there."""
    with socket.socket() as listening:
        try:
            listening.bind((address, 0))
        except OSError:
            return False
        listening.listen()
        place = (address, listening.getsockname()[1])
        program = (
            f"import socket, sys\nsys.stdout.write(str(socket.socket().connect_ex({place!r})))"
        )
        return in_container(engine, image, "bridge", "python", "-c", program) == "0"


def in_container(engine: str, image: str, network: str, *command: str) -> str:
    return docker(*("-H", f"unix://{engine}", "run", "--rm", "--network", network, image, *command))


@contextmanager
def providing(
    pg_server: SimpleNamespace,
    folder: Path,
    engine: str,
    host: str,
    *flags: str,
    advertise: str = "itself",
) -> Iterator[Providing]:
    """`advertise`: what the server says of itself; `itself`: where it listens."""
    url = new_database(pg_server)
    with psycopg.connect(url) as conn:
        conn.execute(SCHEMA.read_text().encode())
    running = Providing(
        Stack(folder / "logs"),
        url,
        folder,
        [],
        psycopg.connect(url, autocommit=True, options="-c timezone=UTC"),
        socket=engine,
    )
    try:
        add_server(running, host, *flags, advertise=advertise)
        yield running
    finally:
        running.clean()


def add_server(running: Providing, host: str, *flags: str, advertise: str = "itself") -> None:
    """One more server of this database."""
    address = f"{host}:{free_port()}"
    told = ("--advertise", address if advertise == "itself" else advertise) if advertise else ()
    name = f"server-{len(running.addresses)}"
    argv = [
        "hodei.cli.server",
        "--grpc",
        address,
        "--insecure",
        "--anonymous-role",
        "admin",
        *told,
        *flags,
    ]
    part = running.stack.start(name, argv, {"DATABASE_URL": running.url})
    running.stack.await_words(part, "hodei-server is ready")
    running.addresses.append(address)


def tag(engine: str, image: str, *names: str) -> None:
    for name in names:
        subprocess.run(
            ["docker", "-H", f"unix://{engine}", "tag", image, name], check=True, timeout=60
        )
