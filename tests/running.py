"""A running Hodei of real processes: two servers and a worker, shared by the tests that leave it as
they found it."""

import functools
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from hodei.local.stack import Stack, mint_token
from hodei.store import cluster
from tests.conftest import SCHEMA, Connection
from tests.eventually import eventually
from tests.forked import forker


def new_database(pg_server: SimpleNamespace) -> str:
    return _created(_base(pg_server), "")


def _base(of: SimpleNamespace) -> str:
    return f"postgresql://{of.user}:{of.password}@{of.host}:{of.port}"


def _created(base: str, options: str) -> str:
    name = f"e2e_{uuid.uuid4().hex[:10]}"
    with psycopg.connect(f"{base}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} {options}".encode())
    return f"{base}/{name}"


def database_with_schema(pg_server: SimpleNamespace) -> str:
    """A copy of one database to which schema.sql was applied: that takes four times as long. It is
    adopted, as a copy has to be before its servers make workers or remove containers."""
    base = _base(pg_server)
    url = _created(base, f"TEMPLATE {_template(base)}")
    cluster.adopt_sync(url, keep_id=False)
    return url


@functools.cache
def _template(base: str) -> str:
    url = _created(base, "")
    with psycopg.connect(url) as conn:
        conn.execute(SCHEMA.read_text().encode())
    return url.rpartition("/")[2]


@dataclass
class Ran:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Hodei:
    """The stack, and the real `hodei` program pointed at it."""

    stack: Stack
    url: str
    folder: Path
    addresses: list[str]
    conn: Connection = field(repr=False)

    def run(
        self, *arguments: str, stdin: bytes = b"", server: int | None = None, timeout: float = 60
    ) -> Ran:
        where = self.addresses[server] if server is not None else ",".join(self.addresses)
        done = forker().run([*(["--server", where] if where else []), *arguments], stdin, timeout)
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    def ok(self, *arguments: str, stdin: bytes = b"", server: int | None = None) -> Ran:
        ran = self.run(*arguments, stdin=stdin, server=server)
        assert ran.code == 0, ran
        return ran

    def submit(self, *arguments: str, stdin: bytes = b"", server: int | None = None) -> str:
        return self.ok("job", "submit", *arguments, stdin=stdin, server=server).text.strip()

    def finish(self, job_id: str, server: int | None = None) -> dict[str, Any]:
        """Waits for the end by SQL, and gives the job as JSON."""
        ended = "SELECT id FROM jobs WHERE id = %s AND completed_at IS NOT NULL"
        eventually(lambda: self.sql(ended, job_id), 90)
        job: dict[str, Any] = self.job(job_id, server)
        return job

    def all_succeeded(self, ids: Sequence[str]) -> None:
        """Waits for the end of all of them."""
        asked = "SELECT state, count(*) FROM jobs WHERE id = ANY (%s::uuid[]) GROUP BY state"
        eventually(lambda: self.sql(asked, list(ids)) == [("SUCCEEDED", len(ids))], 90)

    def job(self, job_id: str, server: int | None = None) -> Any:
        return self.ok("job", "get", job_id, "--format", "json", server=server).json

    def until(self, job_id: str, state: str) -> None:
        """Waits for this state, and asks by SQL: a program for each look takes so long on a busy
        machine that a short job has ended meanwhile. A job that has ended otherwise comes to no
        other state, which ends the test."""
        asked = "SELECT state, completed_at IS NULL FROM jobs WHERE id = %s"

        def there() -> bool:
            ((now, goes_on),) = self.sql(asked, job_id)
            assert now == state or goes_on, f"job {job_id} is {now}: expected {state} on its way"
            return bool(now == state)

        eventually(there, 60)

    def until_beaten(self, job_id: str) -> None:
        """Waits until a heartbeat has said that the job runs."""
        eventually(lambda: self.sql("SELECT id FROM workers WHERE current_job_id = %s", job_id), 60)

    def back_off_ends(self, job_id: str) -> None:
        """Waits until it has been lost, and lets it run again now instead of 10 s later."""
        due = "UPDATE job_queue SET ready_at = now() WHERE job_id = %s AND waiting = 'BACKOFF' RETURNING job_id"
        eventually(lambda: self.sql(due, job_id), 60)

    def look_is_due(self) -> None:
        """Has a server look for broken rows within some seconds, instead of 20 s after the last
        look."""
        self.sql("UPDATE hodei_listening SET checked_at = NULL")

    def wrote(self, job_id: str, words: str = "") -> str:
        """Its log, once words are in it; by SQL as well."""
        asked = "SELECT data FROM job_logs WHERE job_id = %s ORDER BY lease, seq"

        def written() -> str:
            text = b"".join(data for (data,) in self.sql(asked, job_id)).decode(errors="replace")
            return text if words in text else ""

        return eventually(written, 60)

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        cursor = self.conn.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def token(self) -> str:
        return mint_token(self.url)

    def holder(self) -> int:
        """The number of the server that the only worker is connected to, once it has said so."""
        numbers = range(len(self.addresses))
        connected = "worker connected"
        return eventually(lambda: [n for n in numbers if connected in self.log(f"server-{n}")])[0]

    def log(self, name: str) -> str:
        return (self.stack.logs / f"{name}.log").read_text()


def start(pg_server: SimpleNamespace, folder: Path, servers: int = 2) -> Hodei:
    url = database_with_schema(pg_server)
    stack = Stack(folder / "logs")
    addresses = [stack.server(f"server-{n}", url) for n in range(servers)]
    return Hodei(
        stack,
        url,
        folder,
        addresses,
        psycopg.connect(url, autocommit=True, options="-c timezone=UTC -c lock_timeout=60s"),
    )


@pytest.fixture
def submits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a submit that broke off is noted."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "hodei" / "submits"


@pytest.fixture(scope="session")
def shared(pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hodei]:
    folder = tmp_path_factory.mktemp("hodei")
    running = start(pg_server, folder)
    running.stack.worker(
        "worker",
        ",".join(running.addresses),
        folder / "worker",
        running.token(),
        "--slots",
        "8",
        "--label",
        "zone=a",
    )
    yield running
    running.stack.stop()
    running.conn.close()


@pytest.fixture
def hodei(shared: Hodei) -> Hodei:
    """For tests that leave the system as they found it."""
    return shared


@pytest.fixture
def fresh(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Hodei]:
    """Two servers of this test's own, and no worker yet."""
    running = start(pg_server, tmp_path)
    yield running
    running.stack.stop()
    running.conn.close()
