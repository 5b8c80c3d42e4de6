"""Nothing hangs on the settings of a database, a role or a client: not what is stored, nor whether
the schema stands."""

import asyncio
import select
import socket
import socketserver
import struct
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from hodei.domain.errors import Unavailable
from hodei.local.embedded_postgres import EmbeddedPostgres, free_port
from hodei.local.stack import Stack
from hodei.store import schema, schema_check, worker_bootstrap_tokens
from hodei.store.database import Database
from tests.conftest import SCHEMA, Connection
from tests.eventually import eventually
from tests.store.conftest import hodei

SETTINGS = (
    "datestyle = 'German, DMY'",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = 'sql_standard'",
    "intervalstyle = 'iso_8601'",
    "timezone = 'Asia/Tokyo'",
    "timezone = 'America/St_Johns'",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "extra_float_digits = 0",
    "plpgsql.variable_conflict = 'use_variable'",
    "default_transaction_isolation = 'serializable'",
    "check_function_bodies = off",
    "quote_all_identifiers = on",
    "default_tablespace = 'pg_default'",
    "plan_cache_mode = 'force_generic_plan'",
    "enable_nestloop = off",
    "random_page_cost = 1000",
)

SPEC = """{"id": "01234567-89ab-7def-8123-456789abcdef", "command": "x \\\\d", "run_at": "2029-12-31T23:59:59.123456-03:30", "timeout": 1.5,
           "env": {"A_1": "b"}, "labels": {"a.b": "c"}}"""

STORED = """
SELECT j.spec::text, (extract(epoch FROM j.run_at) * 1000000)::bigint, j.timeout_ms, q.waiting,
       (extract(epoch FROM q.ready_at) * 1000000)::bigint
FROM jobs j JOIN job_queue q ON q.job_id = j.id
"""

DAYS = """
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)
FROM pg_class c
WHERE c.relname ~ '_[0-9]{8}$'
  AND c.relkind = 'r'
ORDER BY 1
"""


def stored(url: str) -> list[object]:
    """What the SQL door, the days and a token come to; read with settings of our own."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SELECT hodei_enqueue(%s)", [SPEC])
        for table in ("domain_events", "job_logs"):
            for (name,) in conn.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ %s",
                [f"^{table}_[0-9]{{8}}$"],
            ):
                conn.execute(f"DROP TABLE {name}".encode())
        conn.execute("SELECT hodei_make_days(3)")
        token = conn.execute(
            """
            INSERT INTO worker_bootstrap_tokens (token, expires_at)
            VALUES ('aaaaaaaa-0000-4000-8000-000000000000', '2030-01-01T00:00:00Z')
            RETURNING token
            """
        ).fetchone()
    with psycopg.connect(
        url, autocommit=True, options="-c datestyle=ISO -c timezone=UTC -c intervalstyle=postgres"
    ) as conn:
        event = "SELECT aggregate_id, payload FROM domain_events WHERE event_type = 'TokenCreated'"
        return [token, *(conn.execute(look.encode()).fetchall() for look in (STORED, DAYS, event))]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_of_the_database_changes_nothing(
    setting: str, database_url: str, db: Connection, empty_database_url: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(empty_database_url)["dbname"]
    db.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    assert hodei(empty_database_url, "db", "apply").text == "Applied schema version 1.6.\n"
    assert hodei(empty_database_url, "db", "check", "-o", "json").json["complete"]
    assert stored(empty_database_url) == stored(database_url)

    async def listed() -> list[str]:
        async with Database(empty_database_url) as database:
            tokens, _ = await database.run(worker_bootstrap_tokens.list_newest)
            return [token.token_id for token in tokens]

    assert len(asyncio.run(listed())) == 1


@pytest.mark.parametrize("by", ["program", "psql"])
def test_time_outs_and_read_only_roles_do_not_stop_the_schema(
    empty_database_url: str, by: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(empty_database_url)["dbname"]
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        for setting in (
            "statement_timeout = '100ms'",
            "lock_timeout = '1ms'",
            "idle_in_transaction_session_timeout = '100ms'",
            "default_transaction_read_only = on",
            "default_transaction_isolation = 'serializable'",
            "client_min_messages = 'debug1'",
        ):
            admin.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    if by == "psql":
        subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", SCHEMA, empty_database_url],
            check=True,
            capture_output=True,
        )
    else:
        assert schema.apply_sync(empty_database_url) == "applied schema version 1.6"
    assert schema_check.check_sync(empty_database_url)[0]


def test_a_transaction_timeout_of_a_millisecond_does_not_stop_the_check(
    database_url: str, db: Connection
) -> None:
    """PostgreSQL has it from 17 on, and ends the connection by it."""
    if db.info.server_version < 170000:
        pytest.skip("this PostgreSQL has no transaction_timeout")
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    db.execute(f"ALTER DATABASE {name} SET transaction_timeout = '1ms'".encode())
    for _ in range(60):  # some of them failed, before
        assert schema_check.check_sync(database_url).stands


class LosesFirstConnections(socketserver.ThreadingTCPServer):
    """Stands before PostgreSQL, and resets the first connections when a transaction begins."""

    def __init__(self, target: tuple[str, int], most: int) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self._target = target
        self.left = most

    def finish_request(self, request: Any, client_address: Any) -> None:
        client = request
        with socket.create_connection(self._target) as server:
            while ready := select.select([client, server], [], [])[0]:
                data = ready[0].recv(65536)
                if b"BEGIN ISOLATION" in data and self.left:
                    self.left -= 1
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if not data:
                    return
                (server if ready[0] is client else client).sendall(data)


def test_a_connection_that_is_lost_untold_as_a_transaction_begins_is_made_again(
    database_url: str, db: Connection
) -> None:
    """What a transaction_timeout said may be lost with the connection. A database that goes away is
    not asked for ever."""
    if db.info.server_version < 170000:
        pytest.skip("this PostgreSQL has no transaction_timeout")
    host, port = db.info.host, db.info.port
    for lost in (3, 10_000):
        with LosesFirstConnections((host, port), lost) as relay:
            threading.Thread(target=relay.serve_forever).start()
            try:
                url = psycopg.conninfo.make_conninfo(database_url, port=relay.server_address[1])
                if lost == 3:
                    assert schema_check.check_sync(url).stands
                    assert not relay.left
                else:
                    with pytest.raises(Unavailable, match="as a transaction began"):
                        schema_check.check_sync(url)
            finally:
                relay.shutdown()


def test_a_time_out_of_a_millisecond_does_not_stop_the_schema(
    empty_database_url: str, tmp_path: Path
) -> None:
    """By the real programs; what a running server does under it is another thing."""
    name = psycopg.conninfo.conninfo_to_dict(empty_database_url)["dbname"]
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"):
            admin.execute(f"ALTER DATABASE {name} SET {limit} = '1ms'".encode())
    for command, words in (
        ("apply", "Applied schema version 1.6."),
        ("check", "Schema version 1.6 stands."),
        ("apply", "Schema version 1.6 stands."),
        ("adopt-copy", "This database is no copy"),
    ):
        ran = hodei(empty_database_url, "db", command)
        assert (ran.code, ran.text.startswith(words)) == (0, True), ran
    with Stack(tmp_path) as stack:
        stack.server("server", empty_database_url)


# ── a server that is read-only ──


@pytest.fixture
def own_postgres(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(open_folder / "pg", durable=False) as server:
        yield server


def test_a_server_waits_for_a_read_only_database_and_apply_says_it(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    url = own_postgres.dsn()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        admin.execute("SELECT pg_reload_conf()")
        eventually(
            lambda: (
                psycopg.connect(url).execute("SHOW default_transaction_read_only").fetchone()
                == ("on",)
            )
        )
        ran = hodei(url, "db", "apply")
        assert (ran.code, ran.err) == (125, "Error: the database is read-only\n")
        with Stack(tmp_path) as stack:
            part = stack.start(
                "server",
                ["hodei.cli.server", "--grpc", f"127.0.0.1:{free_port()}"],
                {"DATABASE_URL": url},
            )
            Stack.await_words(part, "the database is read-only; waiting for the database")
            admin.execute("SET default_transaction_read_only = off")
            admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            admin.execute("SELECT pg_reload_conf()")
            Stack.await_words(part, "hodei-server is ready")


def test_a_server_whose_schema_stands_starts_on_a_read_only_database(
    own_postgres: EmbeddedPostgres,
) -> None:
    url = own_postgres.dsn()
    schema.apply_sync(url)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        admin.execute("SELECT pg_reload_conf()")
        eventually(
            lambda: (
                psycopg.connect(url).execute("SHOW default_transaction_read_only").fetchone()
                == ("on",)
            )
        )
        assert (
            asyncio.run(schema.ensure(url))
            == "schema version 1.6 stands; the database is read-only"
        )
        with pytest.raises(Unavailable, match=r"^the database is read-only$"):
            schema.apply_sync(url)


# ── encodings ──


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_another_encoding_is_refused_in_one_line(pg_server: SimpleNamespace, encoding: str) -> None:
    base = f"postgresql://{pg_server.user}:{pg_server.password}@{pg_server.host}:{pg_server.port}"
    name = f"encoded_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(f"{base}/postgres", autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0".encode()
        )
        try:
            for command in (
                ["db", "apply"],
                ["db", "check"],
                ["db", "maintain"],
                ["server", "--grpc", "127.0.0.1:0"],
            ):
                ran = hodei(f"{base}/{name}", *command)
                assert (ran.code, ran.err.count("\n")) == (1 if command[0] == "server" else 125, 1)
                assert (
                    f'the encoding of database "{name}" is {encoding}, and Hodei needs UTF8'
                    in ran.err
                )
            psql = subprocess.run(
                ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", SCHEMA, f"{base}/{name}"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert "Hodei needs UTF8" in psql.stderr
        finally:
            admin.execute(f"DROP DATABASE {name}".encode())
