"""Reads what a database has of the schema. hodei/store/gaps.py compares it with what it must have."""

from typing import Any, LiteralString

from hodei.store.connecting import Connection
from hodei.store.expected import expected
from hodei.store.untimed import untimed

CALLED = (
    "hodei_create_jobs",
    "hodei_create_unlocked",
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
# 18 lists as constraints, and the storage parameters of indexes, which people may tune. What a
# function is: what CREATE FUNCTION says of it; the path is compared apart, as it names the schema.
CATALOG: LiteralString = r"""
WITH ours AS (
    SELECT c.oid, c.relname, c.relkind, c.relispartition
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema()
      AND c.relname !~ '_[0-9]{8}'
      AND (%(names)s::text[] IS NULL OR c.relname = ANY (%(names)s))
), columns AS (
    SELECT o.relname, jsonb_object_agg(a.attname, jsonb_build_object(
               'type', format_type(a.atttypid, a.atttypmod)
                       || CASE WHEN a.attidentity <> '' THEN ' GENERATED AS IDENTITY'
                               WHEN a.attgenerated <> '' THEN ' GENERATED' ELSE '' END,
               'not_null', a.attnotnull,
               'default', pg_get_expr(d.adbin, d.adrelid))) AS all_of_them
    FROM ours o
    JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE NOT o.relispartition
    GROUP BY o.relname
), indexes AS (
    SELECT o.relname || '.' || i.relname AS name,
           replace(
               regexp_replace(pg_get_indexdef(i.oid, 0, true), ' WITH \([^)]*\)', ''),
               ' ON ONLY ', ' ON ')
           || CASE WHEN x.indisvalid AND x.indisready THEN '' ELSE ' NOT VALID' END AS definition
    FROM pg_index x
    JOIN ours o ON o.oid = x.indrelid AND NOT o.relispartition
    JOIN pg_class i ON i.oid = x.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid)
), sequences AS (
    SELECT o.relname,
           concat_ws(
               ' ', 'AS', format_type(s.seqtypid, NULL), 'INCREMENT', s.seqincrement,
               'MINVALUE', s.seqmin, 'MAXVALUE', s.seqmax, 'CACHE', s.seqcache,
               CASE WHEN s.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END,
               'OWNED BY', coalesce(d.owner, 'NONE'),
               CASE WHEN v.last_value >= 3458764513820540928 THEN 'USED UP' END) AS definition
    FROM ours o
    JOIN pg_sequence s ON s.seqrelid = o.oid
    LEFT JOIN pg_sequences v ON v.schemaname = current_schema() AND v.sequencename = o.relname
    LEFT JOIN LATERAL (
        SELECT min(format('%%I.%%I', c.relname, a.attname)) AS owner
        FROM pg_depend d
        JOIN pg_class c ON c.oid = d.refobjid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND a.attnum > 0
        WHERE d.classid = 'pg_class'::regclass AND d.objid = o.oid
          AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    ) d ON true
), functions AS (
    SELECT format('%%s(%%s)', p.proname, oidvectortypes(p.proargtypes)) AS signature,
           md5(concat_ws(
               '|', p.prosrc, l.lanname, pg_get_function_arguments(p.oid),
               pg_get_function_result(p.oid), p.provolatile, p.proisstrict, p.prosecdef,
               p.proparallel, p.proleakproof, (
                   SELECT string_agg(s, '|' ORDER BY s)
                   FROM unnest(p.proconfig) s
                   WHERE s NOT LIKE 'search_path=%%')))
           || CASE WHEN format('search_path=%%I, pg_temp', current_schema()) = ANY (p.proconfig)
                   THEN '' ELSE ' without its path' END AS made
    FROM pg_proc p
    JOIN pg_language l ON l.oid = p.prolang
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = current_schema() AND starts_with(p.proname, 'hodei_') AND p.prokind = 'f'
), unlogged AS (
    SELECT c.relname, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
    FROM pg_class c
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE (c.oid IN (SELECT o.oid FROM ours o) OR i.inhparent IN (SELECT o.oid FROM ours o))
      AND c.relkind IN ('r', 'S')
      AND c.relpersistence = 'u'
), rules AS (
    SELECT r.rulename, c.relname
    FROM pg_rewrite r
    JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('r', 'p')
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE (c.oid IN (SELECT o.oid FROM ours o) OR i.inhparent IN (SELECT o.oid FROM ours o))
      AND r.ev_enabled <> 'D'
)
SELECT jsonb_build_object(
    'tables', (
        SELECT jsonb_object_agg(o.relname, coalesce(c.all_of_them, '{}'))
        FROM ours o
        LEFT JOIN columns c ON c.relname = o.relname
        WHERE o.relkind IN ('r', 'p')),
    'constraints', (
        SELECT jsonb_object_agg(
            o.relname || '.' || k.conname,
            pg_get_constraintdef(k.oid)
            || CASE WHEN x.indisvalid IS FALSE THEN ' NOT VALID' ELSE '' END)
        FROM pg_constraint k
        JOIN ours o ON o.oid = k.conrelid AND NOT o.relispartition
        LEFT JOIN pg_index x ON x.indexrelid = k.conindid
        WHERE k.contype <> 'n'),
    'indexes', (SELECT jsonb_object_agg(i.name, i.definition) FROM indexes i),
    'triggers', (
        SELECT jsonb_object_agg(o.relname || '.' || t.tgname, pg_get_triggerdef(t.oid, true))
        FROM pg_trigger t
        JOIN ours o ON o.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')),
    'sequences', (SELECT jsonb_object_agg(s.relname, s.definition) FROM sequences s),
    'views', (
        SELECT jsonb_object_agg(
            o.relname, trim(regexp_replace(pg_get_viewdef(o.oid), '\s+', ' ', 'g'), ' ;'))
        FROM ours o
        WHERE o.relkind = 'v'),
    'functions', (SELECT jsonb_object_agg(f.signature, f.made) FROM functions f),
    'unlogged', (SELECT jsonb_object_agg(u.relname, u.kind) FROM unlogged u),
    'rules', (SELECT jsonb_object_agg(r.relname || '.' || r.rulename, '') FROM rules r))
"""

# How PostgreSQL writes definitions: a table of ours without its schema, times and text always
# alike.
WRITTEN: LiteralString = """
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true),
       set_config('IntervalStyle', 'postgres', true),
       set_config('standard_conforming_strings', 'on', true)
"""


def read(conn: Connection, *, everything: bool = False) -> dict[str, Any]:
    """Returns what a database has of our names, or of everything in the schema."""
    named = expected() if not everything else {}
    names = None if everything else [*named["tables"], *named["sequences"], *named["views"]]
    with untimed(conn):
        conn.execute(WRITTEN)
        row = conn.execute(CATALOG, {"names": names}).fetchone()
    if row is None:
        raise AssertionError("a SELECT of one row gives one")
    return {kind: found or {} for kind, found in row[0].items()}
