"""A server of each test's own, and what is measured of it while it is attacked."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import psutil
import pytest

from hodei.protocol import api_key, hodei_pb2_grpc
from hodei.protocol import hodei_pb2 as pb
from tests.hostile.keyed import keyed
from tests.running import Hodei, start

__all__ = ["keyed"]  # a fixture

MOST_RSS = 512 << 20
"""As deploy/systemd allows."""

CREATE_S = 1.0


@pytest.fixture
def one(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Hodei]:
    """One server, and no worker."""
    running = start(pg_server, tmp_path, servers=1)
    yield running
    running.stack.stop()
    running.conn.close()


@pytest.fixture
def working(fresh: Hodei) -> Hodei:
    """Two servers, and a worker of four slots that both have."""
    fresh.stack.worker(
        "worker", ",".join(fresh.addresses), fresh.folder / "w", fresh.token(), "--slots", "4"
    )
    return fresh


@dataclass
class Watched:
    """What an innocent client and its server saw."""

    creates_s: list[float] = field(default_factory=list)
    own_s: list[float] = field(default_factory=list)
    """The same without the time in which the server could have run and others had the processor:
    other tests run beside these."""
    errors: list[str] = field(default_factory=list)
    rss: int = 0

    def check(self) -> None:
        assert self.rss < MOST_RSS, f"{self.rss >> 20} MB"
        assert self.errors == []
        assert self.creates_s
        assert max(self.own_s) < CREATE_S, (sorted(self.own_s)[-5:], sorted(self.creates_s)[-5:])


def server_process(one: Hodei) -> psutil.Process:
    (part,) = one.stack.parts
    process = psutil.Process(part.process.pid)
    return max([process, *process.children(recursive=True)], key=lambda p: p.memory_info().rss)


def kept_waiting_s(pid: int) -> float:
    """Seconds in all that the first thread of a process was ready to run and had no processor."""
    _ran_ns, waited_ns, _times = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(waited_ns) / 1e9


@contextmanager
def watched(one: Hodei, address: str = "", key: str = "") -> Iterator[Watched]:
    """Another client creates a job each 50 ms, on a connection of its own and with this API key; the
    server's memory is read as often."""
    seen, process, over = Watched(), server_process(one), threading.Event()
    spec = json.dumps({"command": "true", "run_at": "2900-01-01T00:00:00Z"})
    said = api_key.metadata(key)

    def innocent() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(address or one.addresses[0], options=options) as channel:
            stub = hodei_pb2_grpc.JobServiceStub(channel)
            while not over.is_set():
                waited_s, begun = kept_waiting_s(process.pid), time.monotonic()
                try:
                    stub.CreateJobs(pb.CreateJobsRequest(specs=[spec]), timeout=30, metadata=said)
                except grpc.RpcError as error:
                    seen.errors.append(str(error))
                took_s = time.monotonic() - begun
                seen.creates_s.append(took_s)
                seen.own_s.append(took_s - kept_waiting_s(process.pid) + waited_s)
                over.wait(0.05)

    def memory() -> None:
        while not over.is_set():
            seen.rss = max(seen.rss, process.memory_info().rss)
            over.wait(0.02)

    threads = [threading.Thread(target=innocent), threading.Thread(target=memory)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


class Attacker:
    """A process that makes one attack after the other."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.hostile.attack"]
        self._process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)

    def __call__(
        self, name: str, *arguments: object, key: str = "", say: Sequence[Sequence[str]] = ()
    ) -> Any:
        """The attack's counts of outcomes, once all its calls have one or are held; they are held
        until the next attack. `key` and `say`: the API key and further metadata of each call."""
        self.begin(name, *arguments, key=key, say=say)
        return self.counts()

    def begin(
        self, name: str, *arguments: object, key: str = "", say: Sequence[Sequence[str]] = ()
    ) -> None:
        asked = {"name": name, "arguments": [*map(str, arguments)], "key": key, "say": say}
        assert self._process.stdin
        print(json.dumps(asked), file=self._process.stdin, flush=True)

    def counts(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def attack(name: str, *arguments: object, key: str = "") -> Iterator[dict[str, Any]]:
    """The counts of an attack by a process of its own, whose calls are held until the block ends."""
    attacker = Attacker()
    try:
        yield attacker(name, *arguments, key=key)
    finally:
        attacker.end()


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    one = Attacker()
    yield one
    one.end()


@contextmanager
def through_another_address(address: str, seen_at: str = "127.0.0.2") -> Iterator[str]:
    """A way to the server on which it sees its client at this address."""
    host, _, port = address.rpartition(":")
    ready, over = threading.Event(), threading.Event()
    found: list[int] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(
            host, int(port), local_addr=(seen_at, 0)
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(pipe(reader, up_writer))
            group.create_task(pipe(up_reader, writer))

    async def serve() -> None:
        async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
            found.append(server.sockets[0].getsockname()[1])
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        ready.wait(10)
        yield f"127.0.0.1:{found[0]}"
    finally:
        over.set()
        thread.join()
