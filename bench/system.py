"""A system to be measured: a durable PostgreSQL with stock settings, servers, workers, all real
processes on this machine."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from hodei.local.embedded_postgres import EmbeddedPostgres
from hodei.local.stack import Stack, mint_token

TELLING = {"HODEI_LOG": "info"}
QUIET = {"HODEI_LOG": "success"}


@dataclass
class System:
    folder: Path
    url: str
    database: EmbeddedPostgres
    stack: Stack
    servers: list[str]

    def bench_worker(
        self, number: int, slots: int, server: str = "", kind: str = "bench", **variables: str
    ) -> None:
        """A worker that runs nothing, for the jobs of a kind; the variables are its environment."""
        where = server or self.servers[number % len(self.servers)]
        argv = ["bench.worker", where, "--slots", str(slots), "--kind", kind]
        environment = {"HODEI_OTP_TOKEN": mint_token(self.url), **variables}
        part = self.stack.start(f"bench-worker-{number}", argv, environment)
        self.stack.await_words(part, "connected")


@contextlib.contextmanager
def system(servers: int, environment: dict[str, str] = QUIET) -> Iterator[System]:
    folder = Path(tempfile.mkdtemp(prefix="hodei-bench-"))
    folder.chmod(0o755)
    schema = Path(__file__).parents[1] / "schema.sql"
    try:
        with EmbeddedPostgres(folder / "postgres") as database:
            with psycopg.connect(database.dsn()) as conn:
                conn.execute(schema.read_bytes())
            with Stack(folder / "logs") as stack:
                addresses = [
                    stack.server(f"server-{n}", database.dsn(), environment=environment)
                    for n in range(servers)
                ]
                yield System(folder, database.dsn(), database, stack, addresses)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
