"""What a start waits for, and what it ends at: a database that is not there or refuses; URLs."""

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from hodei.domain.errors import Conflict, Invalid, Unavailable
from hodei.local.embedded_postgres import free_port
from hodei.local.stack import mint_token
from hodei.store import connecting, schema
from tests.conftest import TREE, Connection
from tests.store.conftest import hodei

# ── what a start waits for ──


@pytest.fixture
def crowded(database_url: str, db: Connection) -> Iterator[str]:
    """The URL of a role that has no connection left."""
    role = f"crowd_{uuid.uuid4().hex[:8]}"
    db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 0".encode())
    yield f"postgresql://{role}:x@{database_url.split('@', maxsplit=1)[1]}"
    db.execute(f"DROP ROLE {role}".encode())


def final(url: str) -> dict[str, str]:
    address = url.split("@")[1]
    return {
        "wrong password": f"postgresql://postgres:wrong@{address}",
        "no such role": f"postgresql://nobody_here:x@{address}",
        "no such database": url.rsplit("/", 1)[0] + "/nowhere",
        "no such parameter": f"{url}?options=-cnosuch%3D1",
        "no such value": f"{url}?options=-cDateStyle%3Dnonsense",
        "no password": f"postgresql://postgres@{address}",
        "sslmode=bogus": f"{url}?sslmode=bogus",
        "sslmode=require": f"{url}?sslmode=require",
        "no root certificate": f"{url}?sslmode=verify-full&sslrootcert=/nowhere",
        "require_auth": f"{url}?require_auth=gss",
        "no such service": f"{url}?service=nosuch",
    }


FINAL = list(final("postgresql://u@h/x"))
BY_THE_SERVER = FINAL[:5]

# As PostgreSQL says it in German: no word of it may decide.
GERMAN = (
    'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
    "FATAL:  das wird nichts"
)


@pytest.mark.parametrize("kind", FINAL)
def test_what_does_not_pass_ends_a_start_with_one_line(kind: str, database_url: str) -> None:
    url = final(database_url)[kind]
    begun = time.monotonic()
    ran = hodei(url, "server", "--grpc", "127.0.0.1:0")
    assert (ran.code, ran.err.count("\n")) == (1, 1), ran
    assert ran.err.startswith("Error: the database refuses this server: ")
    assert time.monotonic() - begun < 15
    assert hodei(url, "db", "check").code == 125
    assert kind not in BY_THE_SERVER or not connecting.can_pass(url, GERMAN)


def test_what_passes_is_waited_for(database_url: str, crowded: str) -> None:
    nobody_listens = database_url.replace(
        str(psycopg.conninfo.conninfo_to_dict(database_url)["port"]), str(free_port())
    )
    for url in (
        crowded,
        nobody_listens,
        "postgresql://u@no-such-host.invalid/x",
        "postgresql://u@/x?host=/nowhere",
    ):
        with pytest.raises(Unavailable, match=r"^the database is not available: "):
            connecting.connect(url, "test")
    assert connecting.can_pass(crowded, GERMAN)


def test_the_sqlstate_is_heard_in_any_language(crowded: str, database_url: str) -> None:
    connecting.sqlstate_of_refusal.cache_clear()
    assert connecting.sqlstate_of_refusal(crowded, "x") == "53300"
    assert connecting.sqlstate_of_refusal(final(database_url)["wrong password"], "x") == "28P01"
    assert connecting.sqlstate_of_refusal(final(database_url)["no such database"], "x") == "3D000"
    assert connecting.sqlstate_of_refusal(final(database_url)["sslmode=require"], "x") is None


def test_a_refusal_leaves_no_descriptor_open(crowded: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for n in range(5):
        connecting.sqlstate_of_refusal(crowded, str(n))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


# ── URLs ──

NO_URLS = [
    "mysql://user:S3CRET@host/db",
    "postgres:/user:S3CRET@host/db",
    "postgresql://user:S3CRET%zz@host/db",
    "postgresql://user:S3%ret@host/db",
    "postgresql://user:S3@RET@host/db",
    "postgresql://user:S3/CRET@host/db",
    "postgresql://user:S3CRET",
    "postgresql://user:S3 CRET@host/db",
    "postgresql://user:S3CRET@host/db?nosuch=1",
    "postgresql://user:S3:@CRET@host:5432/db",
    "postgresql://user:x@host:S3CRET/db",
    "S3CRET",
    "user:S3CRET@host",
    "host=h password=S3 CRET@x",
    "host=h port=S3CRET",
    "postgresql://user:x@host:99999999/S3CRET",
]


PLACES = ["DATABASE_URL", "--database-url", "--listen-url"]
"""Where each program may be given a URL. Each URL is tried in one of them, the first one in all."""


@pytest.mark.parametrize(
    ("url", "place"),
    [
        *((NO_URLS[0], place) for place in PLACES),
        *((url, PLACES[n % len(PLACES)]) for n, url in enumerate(NO_URLS[1:])),
    ],
)
def test_what_is_no_url_is_said_without_any_of_it(url: str, place: str) -> None:
    sound = "postgresql://u@h/x"
    words, environment = {
        "DATABASE_URL": (["server", "--grpc", "127.0.0.1:0"], {"DATABASE_URL": url}),
        "--database-url": (["dev", "--database-url", url, "--data-dir", "/nowhere"], {}),
        "--listen-url": (["server", "--listen-url", url], {"DATABASE_URL": sound}),
    }[place]
    done = subprocess.run(
        [sys.executable, "-m", "hodei.cli.main", *words],
        env=environment,
        cwd=TREE,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 2), done.stderr
    assert f"Error: {place} is no database URL: expected postgresql://" in done.stderr
    for part in ("S3", "CRET", "RET", "%zz", "host/"):
        assert part not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40ss%3Aw%2Frd%25%3F%23%26'+@h/q%20LATIN1%40x",
        "postgres://u:p:w?d#x@h:5432/db",
        "host=/tmp dbname=x password='a b'",
        "postgresql:///x?host=/tmp&user=a@b",
        "postgresql://h1:5432,h2,h3:5433/x?target_session_attrs=read-write",
        "postgresql://u@[::1]:5432/x",
        "postgresql://",
    ],
)
def test_odd_and_sound_urls_are_taken(url: str) -> None:
    if url == "postgresql://":
        with pytest.raises(Invalid):
            connecting.check_url(url, "x")
        return
    connecting.check_url(url, "x")


def test_a_file_of_passwords_that_libpq_would_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passwords"
    file.write_text("*:*:*:*:S3CRET\n")
    file.chmod(0o640)
    words = f"password file {file}: expected one that only its user may read.*chmod 600"
    with pytest.raises(Invalid, match=words):
        connecting.check_url(f"postgresql://u@h/x?passfile={file}", "x")
    monkeypatch.setenv("PGPASSFILE", str(file))
    with pytest.raises(Invalid, match=words):
        connecting.check_url("postgresql://u@h/x", "x")
    connecting.check_url("postgresql://u:p@h/x", "x")  # it is not read
    file.chmod(0o600)
    connecting.check_url("postgresql://u@h/x", "x")


def test_odd_characters_in_names_and_passwords_work(pg_server: SimpleNamespace) -> None:
    name, password = "q UTF8@x/%", "p@ss:w/rd%?#&'+"
    role = f"odd_{uuid.uuid4().hex[:8]}"
    address = f"{pg_server.host}:{pg_server.port}"
    base = f"postgresql://{pg_server.user}:{pg_server.password}@{address}/postgres"
    with psycopg.connect(base, autocommit=True) as admin:
        admin.execute(
            psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                psycopg.sql.Identifier(role), psycopg.sql.Literal(password)
            )
        )
        admin.execute(
            psycopg.sql.SQL("CREATE DATABASE {} OWNER {}").format(
                psycopg.sql.Identifier(name), psycopg.sql.Identifier(role)
            )
        )
        try:
            quoted = [
                psycopg.conninfo.make_conninfo(
                    dbname=name,
                    user=role,
                    password=password,
                    host=pg_server.host,
                    port=pg_server.port,
                )
            ]
            quoted.append(
                f"postgresql://{role}:p%40ss%3Aw%2Frd%25%3F%23%26'+@{address}/q%20UTF8%40x%2F%25"
            )
            for url in quoted:
                assert hodei(url, "db", "apply").code == 0
            assert mint_token(quoted[1])
        finally:
            admin.execute(psycopg.sql.SQL("DROP DATABASE {}").format(psycopg.sql.Identifier(name)))
            admin.execute(psycopg.sql.SQL("DROP ROLE {}").format(psycopg.sql.Identifier(role)))


def test_a_right_that_lacks_is_final(database_url: str, db: Connection) -> None:
    role = f"poor_{uuid.uuid4().hex[:8]}"
    db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'".encode())
    try:
        with pytest.raises(
            Conflict, match=r"permission denied for table hodei_schema: this role lacks a right"
        ):
            schema.apply_sync(f"postgresql://{role}:x@{database_url.split('@', maxsplit=1)[1]}")
    finally:
        db.execute(f"DROP ROLE {role}".encode())
