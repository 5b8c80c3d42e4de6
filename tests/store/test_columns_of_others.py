"""Columns that somebody adds to our tables, or a later release, may have any name: no statement
takes one of them for a column or a variable of its own."""

import re

import psycopg

from hodei.store.expected import expected
from hodei.store.parameters import numbered
from tests.conftest import SCHEMA, Connection
from tests.store.test_statements import STATEMENTS

CALLS = (
    """SELECT hodei_enqueue('{"command": "true", "env": {"A": {"secret": "none"}}}')""",
    """SELECT hodei_enqueue('{"command": "true", "id": "0190b5c5-0000-7000-8000-000000000001"}')""",
    """
    INSERT INTO project_grants (role, project) VALUES (session_user, 'theirs');
    SELECT hodei_enqueue('{"command": "true"}', 'theirs')
    """,
    "SELECT hodei_create_unlocked('[]')",
    "SELECT hodei_make_days()",
    "SELECT hodei_drop_day('job_logs', '2020-01-01')",
    "SELECT hodei_pass_live_leases()",
    "INSERT INTO worker_bootstrap_tokens DEFAULT VALUES",
    "UPDATE workers SET credential_sha256 = 'x'",
)


def test_a_column_of_any_name_stands_in_no_statements_way(db: Connection) -> None:
    tables = {name: set(it) for name, it in expected()["tables"].items() if "_default" not in name}
    text = SCHEMA.read_text() + "".join(STATEMENTS.values())
    names = {*re.findall(r"(?:\b(?:AS|WITH)|[(,]|^) *([a-z_]+)\b", text, re.MULTILINE)}
    names = names.union(*tables.values())
    assert {"created", "most", "said", "job_id"} < names
    before = {name: answers(db, name) for name in (*STATEMENTS, *CALLS)}
    assert sum(answer == "" for answer in before.values()) > 150
    for table, columns in tables.items():
        for name in sorted(names - columns):
            db.execute(f'ALTER TABLE {table} ADD "{name}" text'.encode())
    assert {name: answers(db, name) for name in before} == before


def answers(db: Connection, name: str) -> str:
    """The error of a call, or of what PostgreSQL finds when it reads a statement; empty: none."""
    try:
        with db.transaction(force_rollback=True):
            if name in CALLS:
                db.execute(name.encode())
            else:
                db.execute(f"PREPARE asked AS {numbered(STATEMENTS[name])[0]}".encode())
    except psycopg.Error as error:
        return f"{error.sqlstate} {error.diag.message_primary}"
    finally:
        db.execute("DEALLOCATE ALL")
    return ""
