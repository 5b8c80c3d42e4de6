"""Compares what a database has of the schema with what it must have: catalog.json, which
tools/catalog writes from a fresh schema.sql."""

import functools
import json
from importlib import resources
from typing import Any, LiteralString, NamedTuple

from psycopg import sql

from hodei.store.connecting import Connection, reading

CALLED = (
    "hodei_create_jobs",
    "hodei_drop_day",
    "hodei_enqueue",
    "hodei_lives_in",
    "hodei_make_days",
    "hodei_normalise_spec",
    "hodei_pass_live_leases",
    "hodei_token_fingerprint",
)
"""Functions that this program calls, or people do by its documents: a newer revision has them, too,
whatever else it has changed."""

# In the current schema only: what lies behind it on the search_path is somebody else's. The
# catalogs themselves are read, since to_regclass may answer from a cache that has not heard yet of
# what another session has just created. Days are left out, and so are the NOT NULLs that PostgreSQL
# 18 lists as constraints. What a function is: its body and its settings; the path is compared
# apart, as it names the schema.
CATALOG: LiteralString = """
WITH ours AS (
    SELECT c.oid, c.relname, c.relkind, c.relispartition
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema()
      AND c.relname !~ '_[0-9]{8}'
      AND (%(names)s::text[] IS NULL OR c.relname = ANY (%(names)s))
), columns AS (
    SELECT o.relname, jsonb_object_agg(a.attname, jsonb_build_object(
               'type', format_type(a.atttypid, a.atttypmod),
               'not_null', a.attnotnull,
               'default', pg_get_expr(d.adbin, d.adrelid))) AS all_of_them
    FROM ours o
    JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE NOT o.relispartition
    GROUP BY o.relname
), indexes AS (
    SELECT i.relname, x.indisvalid
    FROM pg_index x
    JOIN ours o ON o.oid = x.indrelid AND NOT o.relispartition
    JOIN pg_class i ON i.oid = x.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid)
), functions AS (
    SELECT format('%%s(%%s)', p.proname, oidvectortypes(p.proargtypes)) AS signature,
           md5(concat_ws('|', p.prosrc, p.prosecdef, (
               SELECT string_agg(s, '|' ORDER BY s)
               FROM unnest(p.proconfig) s
               WHERE s NOT LIKE 'search_path=%%')))
           || CASE WHEN format('search_path=%%I, pg_temp', current_schema()) = ANY (p.proconfig)
                   THEN '' ELSE ' without its path' END AS body
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = current_schema() AND starts_with(p.proname, 'hodei_') AND p.prokind = 'f'
)
SELECT jsonb_build_object(
    'tables', (
        SELECT jsonb_object_agg(o.relname, coalesce(c.all_of_them, '{}'))
        FROM ours o
        LEFT JOIN columns c ON c.relname = o.relname
        WHERE o.relkind IN ('r', 'p')),
    'constraints', (
        SELECT jsonb_object_agg(o.relname || '.' || k.conname, pg_get_constraintdef(k.oid))
        FROM pg_constraint k
        JOIN ours o ON o.oid = k.conrelid AND NOT o.relispartition
        WHERE k.contype <> 'n'),
    'indexes', (SELECT jsonb_agg(i.relname ORDER BY i.relname) FROM indexes i WHERE i.indisvalid),
    'invalid', (SELECT jsonb_agg(i.relname) FROM indexes i WHERE NOT i.indisvalid),
    'triggers', (
        SELECT jsonb_agg(o.relname || '.' || t.tgname ORDER BY t.tgname)
        FROM pg_trigger t
        JOIN ours o ON o.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')),
    'sequences', (SELECT jsonb_agg(o.relname ORDER BY o.relname) FROM ours o WHERE o.relkind = 'S'),
    'views', (SELECT jsonb_agg(o.relname ORDER BY o.relname) FROM ours o WHERE o.relkind = 'v'),
    'functions', (SELECT jsonb_object_agg(f.signature, f.body) FROM functions f))
"""


@functools.cache
def expected() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        resources.files("hodei.store").joinpath("catalog.json").read_text(encoding="utf-8")
    )
    return found


def read(conn: Connection, *, everything: bool = False) -> dict[str, Any]:
    """Returns what a database has of our names, or of everything in the schema."""
    named = expected() if not everything else {}
    names = None if everything else [*named["tables"], *named["sequences"], *named["views"]]
    with reading(conn):
        row = conn.execute(CATALOG, {"names": names}).fetchone()
    if row is None:
        raise AssertionError("a SELECT of one row gives one")
    return {
        kind: found
        or ([] if kind in ("indexes", "invalid", "triggers", "sequences", "views") else {})
        for kind, found in row[0].items()
    }


class Gap(NamedTuple):
    """Something that is missing: in words, and how it is made again where schema.sql does not make
    it (it never changes a table that stands)."""

    words: str
    before: sql.Composed | None = None  # to be run before schema.sql
    after: sql.Composed | None = None


def gaps(found: dict[str, Any], *, called_only: bool) -> list[Gap]:
    """Returns what is not as it must be. `called_only`: the database's revision is newer than this
    program's, and only what this program calls is compared: else two programs would mend each
    other's functions and indexes for ever."""
    want = expected()
    tables = [name for name in want["tables"] if name in found["tables"]]
    result = [Gap(f"table {name}") for name in want["tables"] if name not in tables]
    for table in tables:
        result += _columns(table, want["tables"][table], found["tables"][table], called_only)
        if found["tables"][table] and not want["tables"][table]:
            result.append(Gap(f"partition {table} (it is detached)"))
    result += [
        Gap(f"{kind[:-1]} {name}")
        for kind in ("sequences", "views")
        for name in want[kind]
        if name not in found[kind]
    ]
    result += _functions(want["functions"], found["functions"], called_only)
    if not called_only:
        result += _constraints(want, found, tables) + _indexes(want, found)
        for name in want["triggers"]:
            table, _, trigger = name.partition(".")
            if table in tables and name not in found["triggers"]:
                result.append(Gap(f"trigger {trigger} of {table}"))
    return result


def _functions(want: dict[str, str], found: dict[str, str], called_only: bool) -> list[Gap]:
    others = "as this program has it (its body or its settings are others)"
    result = []
    for signature, body in want.items():
        if called_only and signature.partition("(")[0] not in CALLED:
            continue
        if signature not in found:
            result.append(Gap(f"function {signature}"))
        elif not called_only and found[signature] != body:
            result.append(Gap(f"function {signature} {others}"))
    return result


def _columns(
    table: str, want: dict[str, Any], found: dict[str, Any], called_only: bool
) -> list[Gap]:
    result = []
    for name, column in want.items():
        names = {"table": sql.Identifier(table), "column": sql.Identifier(name)}
        default = sql.SQL(column["default"] or "NULL")
        if name not in found:
            result.append(_column(table, name, column))
            continue
        if called_only:
            continue
        if column["default"] and not found[name]["default"]:
            put = sql.SQL("ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {default}").format(
                **names, default=default
            )
            result.append(Gap(f"default of {table}.{name}", after=put))
        if column["not_null"] and not found[name]["not_null"]:
            put = sql.SQL("ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL").format(**names)
            result.append(Gap(f"NOT NULL of {table}.{name}", after=put))
    return result


def _column(table: str, name: str, column: dict[str, Any]) -> Gap:
    add = sql.SQL("ALTER TABLE {table} ADD COLUMN {column} {type}{default}{not_null}").format(
        table=sql.Identifier(table),
        column=sql.Identifier(name),
        type=sql.SQL(column["type"]),
        default=sql.SQL(" DEFAULT ") + sql.SQL(column["default"] or "NULL"),
        not_null=sql.SQL(" NOT NULL" if column["not_null"] else ""),
    )
    return Gap(f"column {table}.{name}", before=add)


def _constraints(want: dict[str, Any], found: dict[str, Any], tables: list[str]) -> list[Gap]:
    result = []
    for key, definition in want["constraints"].items():
        table, _, name = key.partition(".")
        if table in tables and key not in found["constraints"]:
            add = sql.SQL("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}").format(
                table=sql.Identifier(table),
                name=sql.Identifier(name),
                definition=sql.SQL(definition),
            )
            # PRIMARY KEY and UNIQUE come first: schema.sql itself relies on them (ON CONFLICT).
            first = not definition.startswith("CHECK")
            result.append(
                Gap(
                    f"constraint {name} of {table}",
                    before=add if first else None,
                    after=None if first else add,
                )
            )
    return result


def _indexes(want: dict[str, Any], found: dict[str, Any]) -> list[Gap]:
    """Returns the indexes that are missing. One that a failed CREATE INDEX CONCURRENTLY left
    invalid is dropped first: schema.sql would take it for one that stands."""
    result = []
    for name in want["indexes"]:
        if name in found["invalid"]:
            result.append(
                Gap(
                    f"index {name} (it is not valid)",
                    before=sql.SQL("DROP INDEX {}").format(sql.Identifier(name)),
                )
            )
        elif name not in found["indexes"]:
            result.append(Gap(f"index {name}"))
    return result
