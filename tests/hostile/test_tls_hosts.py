"""Two hosts, each in a network namespace of its own, that trust different CAs."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei.local.embedded_postgres import free_port
from tests.running import Hodei, start
from tests.tls.certificates import Ca
from tests.worker_process import Worker


@dataclass
class Host:
    """A host that reaches us at its gateway."""

    namespace: str
    gateway: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What runs a program on this host."""
        return "nsenter", f"--net=/run/netns/{self.namespace}"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def host(number: int) -> Iterator[Host]:
    """Skips where no namespace can be made."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter"))):
        pytest.skip("network namespaces need root, ip and nsenter")
    name = f"hodei-{uuid.uuid4().hex[:8]}"
    cable, network = f"h{name[-8:]}", f"10.213.{number}"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")
    try:
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", f"{network}.1/24", "dev", cable)
        ip("link", "set", cable, "up")
        ip("-n", name, "addr", "add", f"{network}.2/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield Host(name, f"{network}.1")
    finally:
        ip("netns", "del", name)


@pytest.fixture
def two_hosts() -> Iterator[list[Host]]:
    with ExitStack() as stack:
        yield [stack.enter_context(host(number)) for number in (1, 2)]


@pytest.fixture
def running(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Hodei]:
    made = start(pg_server, tmp_path, servers=0)
    yield made
    made.stack.stop()
    made.conn.close()


def test_hosts_reach_only_the_servers_whose_ca_they_trust(
    running: Hodei, two_hosts: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both workers know both servers. Each works for the one that it trusts, and callers are told why
    they cannot use the other one. An API key travels by TLS only."""
    made = ("apikey", "create", "--role", "admin", "--name", "host")
    database = running.folder / "url"
    database.write_text(running.url)
    key = running.ok(*made, "--database-url-file", str(database)).text.strip()
    monkeypatch.setenv("HODEI_API_KEY", key)
    gateways = [one.gateway for one in two_hosts]
    cas = [Ca(running.folder / name, name) for name in ("first", "second")]
    ports, asking = [free_port(), free_port()], free_port()
    for number, ca in enumerate(cas):
        files = ca.make("server", *gateways)
        also = ("--grpc", f"0.0.0.0:{asking},client-ca={ca.file}") if number == 0 else ()
        running.stack.server(
            f"server-{number}",
            running.url,
            0,
            *("--grpc", f"0.0.0.0:{ports[number]}", *also),
            *("--tls-cert", files.cert, "--tls-key", files.key),
        )
    for number, (one, ca) in enumerate(zip(two_hosts, cas, strict=True)):
        running.addresses = [f"https://{one.gateway}:{port}" for port in ports]
        own = ca.make("client")
        flags = ("--tls-ca", str(ca.file), "--tls-cert", own.cert, "--tls-key", own.key)
        worker = Worker(running, f"host-{number}", running.folder / f"w{number}", flags)
        worker.prefix = one.prefix
        worker.up(running.token())
        try:
            check_host(running, one, worker, number, asking)
        finally:
            worker.stop()


def check_host(running: Hodei, one: Host, worker: Worker, number: int, asking: int) -> None:
    trusted, other = running.addresses[number], running.addresses[1 - number]
    assert f"connected to {trusted}" in worker.log
    assert f"connected to {other}" not in worker.log
    ran = called(one, trusted, *worker.flags[:2], "job", "run", "-l", f"as={worker.label}", "id")
    assert (ran.returncode, ran.stdout[:4]) == (0, "uid="), ran
    ran = called(one, other, *worker.flags[:2], "status")
    assert ran.returncode == 125
    assert "its certificate is of an unknown CA: expected one of the CAs in" in ran.stderr
    ran = called(one, other.removeprefix("https://"), "status")
    assert "it expects TLS" in ran.stderr
    ran = called(one, f"https://{one.gateway}:{asking}", *worker.flags, "status")
    if number == 0:
        assert ran.returncode == 0, "a certificate of the CA that this address asks for"
    else:
        assert "its certificate is of an unknown CA" in ran.stderr


def called(one: Host, server: str, *words: str) -> subprocess.CompletedProcess[str]:
    python = (sys.executable, "-m", "hodei.cli.main")
    return subprocess.run(
        [*one.prefix, *python, "--server", server, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
