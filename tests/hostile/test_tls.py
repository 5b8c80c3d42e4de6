"""TLS where it is hard: certificates that are replaced under load, and peers that begin no
handshake."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei.client import Hodei as Client
from hodei.client import Tls
from hodei.local.embedded_postgres import free_port
from tests.eventually import eventually
from tests.running import Hodei, start
from tests.tls.certificates import Ca, Files

REPLACEMENTS = 15
FOLLOWERS = 20


@pytest.fixture
def bare(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Hodei]:
    """A database, and no server yet."""
    running = start(pg_server, tmp_path, servers=0)
    yield running
    running.stack.stop()
    running.conn.close()


def flags_of(files: Files) -> tuple[str, ...]:
    return "--tls-cert", files.cert, "--tls-key", files.key


def test_certificates_replaced_under_load_drop_no_stream(bare: Hodei) -> None:
    """A worker, followers and new connections without end, while the files are replaced again and
    again, now and then by some that do not fit."""
    ca = Ca(bare.folder / "ca")
    files = ca.make("server", "localhost")
    other = Ca(bare.folder / "other").make("server", "localhost")
    address = bare.stack.server("tls", bare.url, 0, *flags_of(files))
    server = f"https://{address.replace('127.0.0.1', 'localhost')}"
    tls = Tls(ca=str(ca.file))
    worker = bare.stack.worker(
        "w", server, bare.folder / "w", bare.token(), *("--tls-ca", tls.ca or "", "--slots", "40")
    )
    go, over = bare.folder / "go", threading.Event()

    def follow(job_id: str) -> bytes:
        with Client(server, tls=tls) as client:
            return b"".join(chunk.data for chunk in client.logs(job_id, follow=True))

    def connect_again_and_again() -> list[str]:
        made = []
        while not over.is_set():
            with Client(server, tls=tls) as client:
                made.append(client.submit(command="true"))
        return made

    with Client(server, tls=tls) as client, ThreadPoolExecutor(FOLLOWERS + 4) as threads:
        loop = f"n=0; while [ ! -e {go} ]; do echo $((n += 1)); sleep 0.05; done"
        followed = client.submit_many([{"command": loop}] * FOLLOWERS)
        for job_id in followed:
            bare.until(job_id, "RUNNING")
        followers = [threads.submit(follow, job_id) for job_id in followed]
        callers = [threads.submit(connect_again_and_again) for _ in range(4)]
        for number in range(REPLACEMENTS):
            if number % 3 == 2:
                Path(files.cert).write_bytes(Path(other.cert).read_bytes())
            else:
                ca.make("server", "localhost", f"number-{number}.example")
            time.sleep(1.1)  # a server looks once a second
        go.touch()
        over.set()
        made = [job_id for caller in callers for job_id in caller.result(60)]
        for job_id, follower in zip(followed, followers, strict=True):
            lines = follower.result(60).split()
            assert lines == [b"%d" % n for n in range(1, len(lines) + 1)]
            assert len(lines) > 100, job_id
    assert len(made) > 100
    bare.all_succeeded([*made, *followed])
    assert bare.sql("SELECT max(attempts), sum(losses) FROM jobs") == [(1, 0)]
    assert worker.log.read_text().count("connected to") == 1, "its stream stood"
    said = bare.log("tls")
    assert said.count("were replaced") >= REPLACEMENTS // 2
    assert said.count("what was served before is served on") >= REPLACEMENTS // 4


def test_peers_that_begin_no_handshake_keep_nobody_out(bare: Hodei) -> None:
    ca = Ca(bare.folder / "ca")
    address = bare.stack.server("tls", bare.url, 0, *flags_of(ca.make("server", "localhost")))
    host, _, port = address.partition(":")
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection((host, int(port)), 30)) for _ in range(500)
        ]
        for number, one in enumerate(silent):
            one.sendall(b"\x16\x03\x01" if number % 2 else b"")
        begun = time.monotonic()
        server = f"https://localhost:{port}"
        with Client(server, tls=Tls(ca=str(ca.file))) as client:
            client.submit(command="true")
        assert time.monotonic() - begun < 5
        for one in silent:
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(100) in (b"", b"\x15\x03\x01\x00\x02\x022"), "it is closed in time"
        assert time.monotonic() - begun < 30


def test_a_flood_of_handshakes_keeps_nobody_out(bare: Hodei) -> None:
    """Connections that do nothing but the handshake, which costs most, as fast as they can be made."""
    ca = Ca(bare.folder / "ca")
    address = bare.stack.server("tls", bare.url, 0, *flags_of(ca.make("server", "localhost")))
    port, over, tls = address.rpartition(":")[2], threading.Event(), Tls(ca=str(ca.file))
    context = ssl.create_default_context(cafile=tls.ca)

    def flood() -> int:
        made = 0
        while not over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port)) as raw:
                context.wrap_socket(raw, server_hostname="localhost").close()
                made += 1
        return made

    with ThreadPoolExecutor(16) as threads, Client(f"https://localhost:{port}", tls=tls) as client:
        floods = [threads.submit(flood) for _ in range(16)]
        took = []
        for _ in range(100):
            begun = time.monotonic()
            client.submit(command="true")
            took.append(time.monotonic() - begun)
        over.set()
        assert sum(one.result() for one in floods) > 300
    assert max(took) < 1.5, sorted(took)[-5:]


def test_workers_spread_over_servers_with_tls(bare: Hodei) -> None:
    """Each says at which of its addresses it has met which server: those are written with https://."""
    ca = Ca(bare.folder / "ca")
    files, ports = ca.make("server", "127.0.0.1"), [free_port(), free_port()]
    bare.stack.server("first", bare.url, ports[0], *flags_of(files))
    both = ",".join(f"https://127.0.0.1:{port}" for port in ports)
    for number in range(4):
        state = bare.folder / f"w{number}"
        bare.stack.worker(f"w{number}", both, state, bare.token(), "--tls-ca", str(ca.file))
    bare.stack.server("second", bare.url, ports[1], *flags_of(files))
    servers = "SELECT count(DISTINCT server_id) FROM workers WHERE connected"
    eventually(lambda: bare.sql(servers) == [(2,)], 60)
