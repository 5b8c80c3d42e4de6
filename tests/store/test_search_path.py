"""Hodei in another schema than `public`: what is found by the search_path, and what may not stand
in its way."""

import subprocess
from pathlib import Path

import psycopg
import pytest

from hodei.local import binaries
from hodei.local.stack import Stack, mint_token
from hodei.store import schema_check
from tests.conftest import SCHEMA, TREE, Connection
from tests.eventually import eventually
from tests.store.conftest import Roles, hodei, login


@pytest.mark.parametrize("name", ["jobsq", "Jobs Q"])
def test_another_schema_by_the_urls_options(
    empty_database_url: str, tmp_path: Path, name: str
) -> None:
    """Another Hodei behind it on the path is neither seen nor touched."""
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        admin.execute((TREE / "tests/store/schema-1.1.sql").read_bytes())
        admin.execute(f'CREATE SCHEMA "{name}"'.encode())
        path = (
            f'"{name}",public'.replace(" ", "\\ ")
            .replace('"', "%22")
            .replace("\\", "%5C")
            .replace(" ", "%20")
            .replace(",", "%2C")
        )
        url = f"{empty_database_url}?options=-csearch_path%3D{path}"
        assert hodei(url, "db", "check").text.startswith("Missing: table")
        assert hodei(url, "db", "apply").text == "Applied schema version 1.6.\n"
        with Stack(tmp_path / "logs") as stack:
            address = stack.server("server", url)
            stack.worker("worker", address, tmp_path / "w", mint_token(url))
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
            eventually(
                lambda: (
                    admin.execute(f'SELECT state FROM "{name}".jobs'.encode()).fetchall()
                    == [("SUCCEEDED",)]
                ),
                30,
            )
        assert hodei(url, "db", "maintain", "--keep-days", "1").code == 0
        assert hodei(url, "db", "check").code == 0
        assert admin.execute("SELECT count(*) FROM public.jobs").fetchone() == (0,)
        assert admin.execute(
            "SELECT s.version, to_jsonb(s) ->> 'revision' FROM public.hodei_schema s"
        ).fetchone() == (1, None)


def test_no_schema_is_said_in_one_line(empty_database_url: str) -> None:
    for command in ("apply", "check", "maintain"):
        ran = hodei(f"{empty_database_url}?options=-csearch_path%3Dnowhere", "db", command)
        assert (ran.code, ran.err.count("\n")) == (125, 1), ran
        assert "no schema of the search_path (nowhere) exists" in ran.err


def test_a_schema_that_is_another_one_for_each_role_is_refused(empty_database_url: str) -> None:
    """Only the role with the name $user finds a schema with the name $user."""
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        admin.execute("""CREATE ROLE "$user" LOGIN SUPERUSER PASSWORD 'x'""")
        try:
            admin.execute('CREATE SCHEMA "$user"')
            url = login(empty_database_url, "%24user")
            for command in ("apply", "check"):
                ran = hodei(url, "db", command)
                assert (ran.code, ran.err.count("\n")) == (125, 1), ran
                assert "the first schema of the search_path has the name $user" in ran.err
            applied = subprocess.run(
                ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", SCHEMA, url],
                capture_output=True,
                text=True,
                check=False,
            )
            assert "a schema with the name $user is another one for each role" in applied.stderr
        finally:
            admin.execute('DROP SCHEMA "$user"; DROP ROLE "$user"')


FUNCTIONS = """
SELECT p.oid::regprocedure::text, p.proconfig FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'hodei%'
"""


def test_every_function_has_its_own_path(db: Connection) -> None:
    functions = db.execute(FUNCTIONS).fetchall()
    assert len(functions) > 15
    for name, settings in functions:
        assert "search_path=public, pg_temp" in settings, name


def test_nothing_in_pg_temp_stands_for_ours(roles: Roles) -> None:
    tables = [
        row[0]
        for row in roles.owner.execute(
            """
            SELECT c.relname
            FROM pg_class c
            WHERE c.relnamespace = 'hodei'::regnamespace
              AND c.relkind IN ('r', 'p', 'v')
            """
        )
    ]
    functions = [
        row[0]
        for row in roles.owner.execute(
            """
            SELECT format('%I(%s)', p.proname, pg_get_function_arguments(p.oid))
                   || ' RETURNS ' || pg_get_function_result(p.oid)
            FROM pg_proc p
            WHERE p.pronamespace = 'hodei'::regnamespace
              AND p.proname <> 'hodei_enqueue'
            """
        )
    ]
    with psycopg.connect(roles.url("enqueuer"), autocommit=True) as app:
        for table in tables:
            app.execute(f"CREATE TEMP TABLE {table} (id uuid, mine text)".encode())
        for function in functions:
            body = "BEGIN RAISE EXCEPTION 'mine'; END"
            app.execute(
                f"CREATE FUNCTION pg_temp.{function} LANGUAGE plpgsql AS $$ {body} $$".encode()
            )
        for path in ("pg_temp, hodei", "pg_temp", "", "nowhere"):
            app.execute("SELECT set_config('search_path', %s, false)", [path])
            app.execute(
                """SELECT hodei.hodei_enqueue('{"command": "true", "run_at": "2026-01-01T00:00:00Z", "env": {"A": "b"}}')"""
            )
        assert app.execute("SELECT count(*) FROM pg_temp.jobs").fetchone() == (0,)
    assert roles.admin.execute("SELECT count(*) FROM hodei.jobs").fetchone() == (4,)


def test_a_restore_of_the_data_alone_loses_no_token(
    db: Connection, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    """As docs/database.md says: the trigger function runs under pg_restore's empty search_path."""
    programs = binaries.find()
    if not (programs / "pg_dump").exists():
        pytest.skip("no pg_dump here")
    db.execute("INSERT INTO worker_bootstrap_tokens DEFAULT VALUES")
    db.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
    dump = tmp_path / "dump"
    subprocess.run(
        [
            programs / "pg_dump",
            "-Fc",
            "--data-only",
            "--load-via-partition-root",
            "-f",
            dump,
            database_url,
        ],
        check=True,
        timeout=60,
    )
    subprocess.run(
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", SCHEMA, empty_database_url],
        check=True,
        timeout=60,
    )
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("TRUNCATE hodei_schema, hodei_listening")
        subprocess.run(
            [programs / "pg_restore", "--data-only", "-e", "-d", empty_database_url, dump],
            check=True,
            timeout=60,
        )
        for table in ("worker_bootstrap_tokens", "jobs", "job_queue", "hodei_schema"):
            look = f"SELECT * FROM {table}".encode()
            assert conn.execute(look).fetchall() == db.execute(look).fetchall()
    assert schema_check.check_sync(empty_database_url) == (True, "schema version 1.6 stands")
