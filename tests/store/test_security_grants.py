"""The grants of docs/security.md, made and tried: what a role that may look can see, and what one
that may enqueue cannot."""

import json
import re
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.conftest import TREE, Connection
from tests.factories import final_job, on, ready_worker, running_job

SECRETS = (
    "hidden-env",
    "hidden-stdin",
    "hidden-command",
    "hidden-script",
    "hidden-log",
    "hidden-provider",
)


def granted() -> str:
    (block,) = re.findall(r"```sql\n(.*?)```", (TREE / "docs/security.md").read_text(), re.DOTALL)
    return str(block)


@pytest.fixture
def secret_token(db: Connection, database_url: str) -> str:
    """A database with a secret of each kind; the token is returned."""

    async def fill(conn: psycopg.AsyncConnection) -> None:
        worker = await ready_worker(conn)
        await final_job(
            conn,
            worker,
            command="echo hidden-command",
            env={"KEY": "hidden-env"},
            stdin="hidden-stdin",
        )
        await running_job(conn, worker, command=None, script="echo hidden-script", name="script")

    on(database_url, fill)
    db.execute(
        "INSERT INTO job_logs (job_id, lease, seq, attempt, stream, byte_offset, first_line, read_at, data) "
        "SELECT id, 1, 0, 1, 1, 0, 1, now(), 'hidden-log' FROM jobs LIMIT 1"
    )
    db.execute(
        """INSERT INTO provider_configs (name, provider_type, config) VALUES ('p', 'Docker', '{"password": "hidden-provider"}')"""
    )
    found = db.execute(
        "INSERT INTO worker_bootstrap_tokens DEFAULT VALUES RETURNING token::text"
    ).fetchone()
    assert found
    return str(found[0])


@pytest.fixture
def login(db: Connection, database_url: str) -> Iterator[psycopg.Connection]:
    """A role of its own that may log in, with nothing granted yet. Roles are the cluster's: it is
    dropped again."""
    name = f"looks_{uuid.uuid4().hex[:8]}"
    db.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(name)))
    url = urlsplit(database_url)
    try:
        with psycopg.connect(
            host=url.hostname,
            port=url.port,
            dbname=url.path[1:],
            user=name,
            password="x",
            autocommit=True,
            application_name=name,
        ) as conn:
            yield conn
    finally:
        for role in (name, *READERS):
            if db.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None:
                db.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


READERS = ("hodei_reader",)


def everything(conn: psycopg.Connection) -> str:
    """All that this role can read, of every table and view of the schema, column by column."""
    seen = []
    columns = conn.execute(
        """
        SELECT c.oid::regclass::text, a.attname
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace
          AND c.relkind IN ('r', 'p', 'v')
          AND a.attnum > 0
          AND NOT a.attisdropped
        """
    ).fetchall()
    assert len(columns) > 100
    for table, column in columns:
        try:
            statement = sql.SQL("SELECT {}::text FROM {}").format(
                sql.Identifier(column), sql.Identifier(table)
            )
            found = conn.execute(statement).fetchall()
        except psycopg.errors.InsufficientPrivilege:
            continue
        seen.append(f"{table}.{column}: {json.dumps(found, default=str)}")
    return "\n".join(seen)


def test_a_reader_sees_states_and_stories_and_no_secret(
    db: Connection, login: psycopg.Connection, secret_token: str
) -> None:
    assert everything(login) == "", "nothing is granted by default"
    db.execute(granted().encode())
    db.execute(sql.SQL("GRANT hodei_reader TO {}").format(sql.Identifier(login.info.user)))
    seen = everything(login)
    assert secret_token not in seen
    for secret in SECRETS:
        assert secret not in seen
        assert secret.encode().hex() not in seen
    hashed = db.execute("SELECT encode(credential_sha256, 'hex') FROM workers").fetchone()
    assert hashed
    assert hashed[0] not in seen
    for wanted in (
        "jobs.state: ",
        "jobs.message: ",
        "domain_events.payload: ",
        "job_events.event_type: ",
        "workers.labels: ",
    ):
        assert wanted in seen
    assert "worker_bootstrap_tokens.expires_at" in seen


def test_the_grants_name_every_column_but_the_secret_ones(db: Connection) -> None:
    """A new column is either written into docs/security.md, or here as one that readers need not
    see."""
    hidden = {
        "jobs": {
            "spec",
            "timeout_ms",
            "start_timeout_ms",
            "silence_timeout_ms",
            "queue_timeout_ms",
            "grace_ms",
            "retries",
            "lone_losses",
        },
        "workers": {
            "credential_sha256",
            "next_credential_sha256",
            "previous_credential_sha256",
            "instance",
            "lost_at",
        },
        "worker_bootstrap_tokens": {"token"},
        "api_keys": {"secret_sha256"},
        "secrets": {"sealed"},
        "provider_configs": {"config", "tags", "metadata"},
    }
    grants = dict(re.findall(r"GRANT SELECT \(([^)]*)\)\s+ON (\w+)", granted()))
    for columns, table in grants.items():
        named = {column.strip() for column in columns.split(",")}
        there = {
            row[0]
            for row in db.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
                [table],
            )
        }
        assert named | hidden[table] == there, table
        assert not named & hidden[table]


def test_who_may_enqueue_may_run_any_command_and_read_nothing(
    db: Connection, login: psycopg.Connection, secret_token: str
) -> None:
    spec = json.dumps({"command": "true"})
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login.execute("SELECT hodei_enqueue(%s::jsonb)", [spec])
    db.execute(
        sql.SQL("GRANT EXECUTE ON FUNCTION hodei_enqueue(jsonb) TO {}").format(
            sql.Identifier(login.info.user)
        )
    )
    assert login.execute("SELECT hodei_enqueue(%s::jsonb)", [spec]).fetchone()
    assert everything(login) == ""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login.execute("INSERT INTO worker_bootstrap_tokens DEFAULT VALUES")
