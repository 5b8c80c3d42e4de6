"""Names what somebody else has put on our tables, and what of it refuses our statements."""

from collections.abc import Iterator
from typing import LiteralString, NamedTuple

from hodei.store.connecting import Connection
from hodei.store.expected import expected
from hodei.store.untimed import untimed

MOST = 20
"""Things that are named. Of more, their number is said."""


class OfOthers(NamedTuple):
    """What was found, a line for each."""

    refusing: list[str]  # no row can be changed while it is there
    notes: list[str]  # it may be harmless


# What is defined on a table, as the catalog names it: `kind table.name`. Days count as their table;
# what a day has from its table is named there. A foreign key of another table is named only where it
# keeps our rows from being deleted. A column that must have a value and has none is a gap of the
# schema, and so are rules (hodei/store/gaps.py).
ON_OUR_TABLES: LiteralString = """
WITH ours AS (
    SELECT c.oid, c.relname
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname = ANY (%(tables)s) AND c.relkind IN ('r', 'p')
), days AS (
    SELECT o.oid, o.relname FROM ours o
    UNION
    SELECT c.oid, c.relname
    FROM pg_inherits i
    JOIN ours o ON o.oid = i.inhparent
    JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition
), things AS (
    SELECT 'trigger' AS kind, t.tgname AS name, t.tgrelid AS of_table,
           'it can refuse, swallow or hold up rows' AS why
    FROM pg_trigger t
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D'
    UNION ALL
    SELECT 'constraint', k.conname, k.conrelid, 'it can refuse rows'
    FROM pg_constraint k
    WHERE k.contype NOT IN ('n', 't') AND k.coninhcount = 0 AND k.conparentid = 0
    UNION ALL
    SELECT 'index', c.relname, x.indrelid,
           CASE WHEN x.indisunique THEN 'it is unique, and can refuse rows'
                WHEN x.indexprs IS NOT NULL OR x.indpred IS NOT NULL
                THEN 'it has an expression, which can refuse rows or hold them up'
                ELSE 'each write takes longer, and it can refuse long values' END
    FROM pg_index x
    JOIN pg_class c ON c.oid = x.indexrelid AND NOT c.relispartition
    WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid)
    UNION ALL
    SELECT 'column', a.attname, a.attrelid,
           CASE WHEN a.attidentity <> '' OR a.atthasdef
                THEN 'what gives it a value can refuse rows or hold them up'
                WHEN t.typtype = 'd' THEN 'its domain can refuse rows'
                ELSE 'no row that Hodei writes has a value for it' END
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attinhcount = 0
      AND (NOT a.attnotnull OR a.atthasdef OR a.attidentity <> '')
    UNION ALL
    SELECT 'policy', p.polname, p.polrelid, 'it can hide or refuse rows'
    FROM pg_policy p
    JOIN pg_class c ON c.oid = p.polrelid AND c.relrowsecurity
), found AS (
    SELECT format('%%s %%I of %%I', t.kind, t.name, d.relname) AS what, t.why
    FROM things t
    JOIN days d ON d.oid = t.of_table
    WHERE format('%%s %%s.%%s', t.kind, d.relname, t.name) <> ALL (%(known)s)
    UNION ALL
    SELECT format('constraint %%I of %%s', k.conname, k.conrelid::regclass),
           format('it refers to %%I, and can keep its rows from being deleted', d.relname)
    FROM pg_constraint k
    JOIN days d ON d.oid = k.confrelid
    WHERE k.contype = 'f' AND k.confdeltype IN ('a', 'r') AND k.conparentid = 0
      AND k.conrelid NOT IN (SELECT d.oid FROM days d)
    UNION ALL
    SELECT format('table %%s', i.inhrelid::regclass),
           format('it inherits from %%I, and its rows count as of that', o.relname)
    FROM pg_inherits i
    JOIN ours o ON o.oid = i.inhparent
    JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'f') AND NOT c.relispartition
    UNION ALL
    SELECT format('publication %%I', p.pubname),
           format('it filters rows or columns of %%I, by which PostgreSQL may refuse changes',
                  d.relname)
    FROM pg_publication_rel r
    JOIN pg_publication p ON p.oid = r.prpubid AND (p.pubupdate OR p.pubdelete)
    JOIN days d ON d.oid = r.prrelid
    WHERE r.prqual IS NOT NULL OR r.prattrs IS NOT NULL
    UNION ALL
    SELECT format('event trigger %%I', e.evtname),
           'it can refuse the partitions that servers make and drop'
    FROM pg_event_trigger e
    WHERE e.evtenabled <> 'D'
      AND NOT EXISTS (
          SELECT FROM pg_depend d
          WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')
    UNION ALL
    SELECT format('function %%s', p.oid::regprocedure), 'a call of ours can find it instead'
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = current_schema()
    WHERE p.proname IN (SELECT split_part(s, '(', 1) FROM unnest(%(functions)s::text[]) s)
      AND format('%%s(%%s)', p.proname, oidvectortypes(p.proargtypes)) <> ALL (%(functions)s)
)
SELECT f.what, f.why FROM found f ORDER BY f.what
"""

NOT_PUBLISHABLE: LiteralString = """
SELECT p.pubname, c.relname
FROM pg_publication_tables t
JOIN pg_publication p ON p.pubname = t.pubname AND (p.pubupdate OR p.pubdelete)
JOIN pg_namespace n ON n.nspname = t.schemaname AND n.nspname = current_schema()
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
WHERE c.relname = ANY (%(tables)s)
  AND NOT CASE c.relreplident
      WHEN 'f' THEN true
      WHEN 'd' THEN EXISTS (
          SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary AND x.indisvalid)
      WHEN 'i' THEN EXISTS (
          SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisreplident AND x.indisvalid)
      ELSE false END
ORDER BY 1, 2
"""


def _known() -> Iterator[str]:
    """Names what schema.sql defines on tables, as ON_OUR_TABLES does."""
    want = expected()
    for kind, plural in (
        ("trigger", "triggers"),
        ("constraint", "constraints"),
        ("index", "indexes"),
    ):
        yield from (f"{kind} {key}" for key in want[plural])
    for table, columns in want["tables"].items():
        yield from (f"column {table}.{name}" for name in columns)


def find(conn: Connection) -> OfOthers:
    """Returns what is on our tables and not of this release. Not where the database's revision is
    newer than this program's: what it added would count as somebody's."""
    names = {kind: list(expected()[kind]) for kind in ("tables", "functions")}
    names["known"] = list(_known())
    with untimed(conn):
        found = [
            f"note: {what} is not Hodei's: {why}"
            for what, why in conn.execute(ON_OUR_TABLES, names)
        ]
        refusing = [
            f"publication {publication} publishes changes of table {table}, which has no replica"
            f" identity: PostgreSQL refuses them: ALTER TABLE {table} REPLICA IDENTITY DEFAULT"
            for publication, table in conn.execute(NOT_PUBLISHABLE, names)
        ]
    more = len(found) - MOST
    return OfOthers(
        refusing, found[:MOST] + ([f"note: {more} more of that kind"] if more > 0 else [])
    )
