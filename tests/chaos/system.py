"""The system that is attacked: two servers, two workers that keep their jobs, a durable PostgreSQL,
and a proxy on every way between."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from hodei.local.embedded_postgres import EmbeddedPostgres, free_port
from hodei.local.stack import Part, Stack, mint_token
from tests.conftest import SCHEMA, Connection
from tests.local_pgbouncer import PgBouncer
from verify.fault_proxy import FaultProxy

LABELS = {"runs": "chaos"}
"""Of the jobs and of the honest workers: the one that lies is given none."""


class System:
    """`other_tree`: the second server and the second worker are this checkout's, as during a deploy
    of another release."""

    def __init__(
        self, folder: Path, *, pgbouncer: bool = False, other_tree: Path | None = None
    ) -> None:
        self._folder = folder
        self._stacks = (Stack(folder / "logs"), Stack(folder / "logs", other_tree))
        self._pgbouncer = pgbouncer
        self._worker_flags: tuple[str, ...] = ()

    @contextlib.contextmanager
    def system(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            self._database = stack.enter_context(EmbeddedPostgres(self._folder / "postgres"))
            self.url = self._database.dsn()
            with psycopg.connect(self.url) as conn:
                conn.execute(SCHEMA.read_text().encode())
            host = f"127.0.0.1:{self._database.port}"
            way = stack.enter_context(PgBouncer(self.url)).address if self._pgbouncer else host
            self._to_database = [stack.enter_context(FaultProxy(way)) for _ in range(2)]
            self._ports = [free_port(), free_port()]
            self._servers = {n: self._server(n) for n in (0, 1)}
            self._links = {
                (w, s): stack.enter_context(FaultProxy(f"127.0.0.1:{self._ports[s]}"))
                for w in (0, 1)
                for s in (0, 1)
            }
            self._workers = {n: self._worker(n, mint_token(self.url)) for n in (0, 1)}
            try:
                yield
            finally:
                for programs in self._stacks:
                    programs.stop()

    def connect(self) -> Connection:
        """Past every proxy; waits for the database."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return psycopg.connect(self.url, autocommit=True, options="-c timezone=UTC")
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _server(self, number: int) -> Part:
        url, name = self.url, f"server-{number}-{time.monotonic_ns()}"
        through = url.replace(urlsplit(url).netloc.split("@")[1], self._to_database[number].address)
        environment = {"HODEI_LISTEN_URL": url, "HODEI_PREPARE": "false"} if self._pgbouncer else {}
        self._stacks[number].server(name, through, self._ports[number], environment=environment)
        return self._stacks[number].parts[-1]

    def _worker(self, number: int, token: str | None) -> Part:
        links = [self._links[number, server].address for server in (0, 1)]
        name = f"worker-{number}-{time.monotonic_ns()}"
        keep = (
            "--on-worker-exit",
            "keep",
            *(f"--label={key}={value}" for key, value in LABELS.items()),
            *self._worker_flags,
        )
        return self._stacks[number].worker(
            name, ",".join(links), self._folder / f"w{number}", token, *keep
        )

    def _end(self, part: Part, number: signal.Signals) -> None:
        part.process.send_signal(number)
        part.process.wait()
        for programs in self._stacks:
            if part in programs.parts:
                programs.parts.remove(part)

    def _cancel(self, job_id: str, server: int) -> None:
        address = f"127.0.0.1:{self._ports[server]}"
        part = self._stacks[0].start(
            "cancel", ["hodei.cli.main", "--server", address, "job", "cancel", job_id]
        )
        part.process.wait(60)
        self._stacks[0].parts.remove(part)
