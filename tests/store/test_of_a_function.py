"""Whose function an error came from, by the words that PostgreSQL has for it in several languages."""

import psycopg
import pytest

from hodei.store import sqlstate
from hodei.store.of_a_function import function_of_others
from tests.conftest import Connection

OURS = [
    "PL/pgSQL function hodei_create_jobs(jsonb) line 60 at SQL statement",
    "PL/pgSQL-Funktion hodei_drop_day(text,date) Zeile 3 bei SQL-Anweisung",
    "fonction PL/pgSQL hodei_token_created(), ligne 4, à instruction SQL",
    "PL/pgSQL関数hodei_create_jobs(jsonb)の60行目 - SQLステートメント",
    'PL/pgSQL assignment "answer := lower(given)"',
    'SQL statement "SELECT 1 FROM ONLY "hodei"."jobs" x WHERE "id" = $1 FOR KEY SHARE OF x"',
    'while updating tuple (0,1) in relation "jobs"',
]

OF_OTHERS = {
    "PL/pgSQL function hodei_theirs() line 1 at RAISE": "hodei_theirs",
    "PL/pgSQL function hodei_create_jobs(text) line 1 at RAISE": "hodei_create_jobs",
    "PL/pgSQL function hodei_app.theirs() line 1 at RAISE": "hodei_app.theirs",
    'PL/pgSQL function "Their own"(integer,text) line 1 at RAISE': '"Their own"',
    'PL/pgSQL function "Their\n""own"""() line 1 at RAISE': '"Their\n""own"""',
    "PL/pgSQL-Funktion theirs() Zeile 1 bei RAISE": "theirs",
    "PL/pgSQL関数theirs()の1行目 - RAISE": "theirs",
    'PL/Python function "theirs"': "theirs",
    'SQL function "theirs" statement 1': "theirs",
    "SQL-Funktion »theirs« Anweisung 1": "theirs",
    "fonction SQL « theirs », instruction 1": "theirs",
}


@pytest.mark.parametrize("line", OURS)
def test_ours(line: str) -> None:
    assert function_of_others(line, also_sql=True) == ""


@pytest.mark.parametrize("line", OF_OTHERS)
def test_of_others(line: str) -> None:
    context = f"{OURS[0]}\n{line}\n{OURS[1]}"
    assert function_of_others(context, also_sql=True) == OF_OTHERS[line]
    without = "" if line.startswith(("SQL", "fonction SQL")) else OF_OTHERS[line]
    assert function_of_others(context, also_sql=False) == without


PLPGSQL = (
    "CREATE FUNCTION {}(spec jsonb) RETURNS boolean LANGUAGE plpgsql AS"
    " $$ BEGIN RETURN 1 / (random() * 0)::integer = 1; END $$"
)
SQL = (
    "CREATE FUNCTION {}(spec jsonb) RETURNS boolean LANGUAGE sql AS"
    " $$ SELECT 1 / (count(*) * 0) = 1 FROM generate_series(1, 2) $$"
)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("theirs", PLPGSQL),
        ("hodei_theirs", PLPGSQL),
        ('"hodei Theirs"', PLPGSQL),
        ("theirs", SQL),
        ("hodei_theirs", SQL),
    ],
)
def test_a_function_that_a_constraint_calls_is_seen(db: Connection, name: str, made: str) -> None:
    db.execute(made.format(name).encode())
    db.execute(f"ALTER TABLE jobs ADD CHECK ({name}(spec))".encode())
    with pytest.raises(psycopg.errors.DivisionByZero) as caught:
        db.execute('SELECT hodei_enqueue(\'{"command": "true"}\')')
    assert sqlstate.function_of_others(caught.value) == name
