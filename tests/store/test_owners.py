"""What belongs to somebody else: functions of ours, functions with names like ours, the schema."""

import psycopg

from hodei.store import schema_check
from tests.conftest import Connection
from tests.store.conftest import Roles, hodei


def test_a_function_that_somebody_else_owns_is_named(roles: Roles) -> None:
    """It runs with his rights, and he may replace it."""
    other = roles.name("enqueuer")
    roles.admin.execute(f"GRANT CREATE ON SCHEMA hodei TO {other}".encode())
    for function in ("hodei_make_days(integer)", "hodei_enqueue(jsonb)"):
        roles.admin.execute(f"ALTER FUNCTION hodei.{function} OWNER TO {other}".encode())
    checked = hodei(roles.url("owner"), "db", "check")
    assert checked.code == 1
    assert (
        f"Role {other} owns function hodei_enqueue(jsonb), hodei_make_days(integer), and has not the"
        f" rights of role {roles.name('owner')}, which owns table api_keys:"
        f" ALTER FUNCTION … OWNER TO {roles.name('owner')}." in checked.text
    )
    for function in ("hodei_make_days(integer)", "hodei_enqueue(jsonb)"):
        roles.admin.execute(
            f"ALTER FUNCTION hodei.{function} OWNER TO {roles.name('owner')}".encode()
        )
    assert hodei(roles.url("owner"), "db", "check").code == 0
    roles.admin.execute(f"ALTER FUNCTION hodei.{function} OWNER TO postgres".encode())
    assert hodei(roles.url("owner"), "db", "check").code == 0, "a superuser has all rights"


def test_functions_of_others_with_names_like_ours_are_left_alone(roles: Roles) -> None:
    other = roles.name("enqueuer")
    roles.admin.execute(f"GRANT CREATE ON SCHEMA hodei TO {other}".encode())
    theirs = ("hodei_something()", "hodei_uuid7(integer)")
    with psycopg.connect(roles.url("enqueuer"), autocommit=True) as app:
        for function in theirs:
            app.execute(
                f"CREATE FUNCTION {function} RETURNS integer LANGUAGE sql RETURN 1".encode()
            )
            app.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC".encode())
    roles.owner.execute("DROP FUNCTION hodei_uuid7()")
    applied = hodei(roles.url("owner"), "db", "apply")
    assert (applied.code, applied.text) == (0, "Applied schema version 1.6.\n"), applied
    checked = hodei(roles.url("server"), "db", "check")
    assert (checked.code, "hodei_something" in checked.text) == (0, False), checked
    for function in theirs:
        row = roles.admin.execute(
            "SELECT p.proconfig FROM pg_proc p WHERE p.oid = %s::regprocedure",
            [f"hodei.{function}"],
        ).fetchone()
        assert row == (None,)


def test_a_schema_in_which_everybody_may_create_is_named(db: Connection, database_url: str) -> None:
    db.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    try:
        assert "functions in schema public that ours" in schema_check.check_sync(database_url).words
    finally:
        db.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
