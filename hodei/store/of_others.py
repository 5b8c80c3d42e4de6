"""Names what somebody else has put on our tables, and what of it refuses our statements."""

from typing import LiteralString, NamedTuple

from hodei.store.connecting import Connection, untimed
from hodei.store.expected import expected

MOST = 20
"""Things that are named. Of more, their number is said."""


class OfOthers(NamedTuple):
    """What was found, a line for each."""

    refusing: list[str]  # no row can be changed while it is there
    notes: list[str]  # it may be harmless


# Days count as their table; what a day has from its table is named there. A foreign key of another
# table is named only where it keeps our rows from being deleted.
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
), found AS (
    SELECT format('trigger %%I of %%I', t.tgname, d.relname) AS what,
           'it can refuse, swallow or hold up rows' AS why
    FROM pg_trigger t
    JOIN days d ON d.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D'
      AND d.relname || '.' || t.tgname <> ALL (%(triggers)s)
    UNION ALL
    SELECT format('constraint %%I of %%I', k.conname, d.relname), 'it can refuse rows'
    FROM pg_constraint k
    JOIN days d ON d.oid = k.conrelid
    WHERE k.contype IN ('c', 'f', 'u', 'x') AND k.coninhcount = 0 AND k.conparentid = 0
      AND d.relname || '.' || k.conname <> ALL (%(constraints)s)
    UNION ALL
    SELECT format('index %%I of %%I', c.relname, d.relname), 'it is unique, and can refuse rows'
    FROM pg_index x
    JOIN days d ON d.oid = x.indrelid
    JOIN pg_class c ON c.oid = x.indexrelid AND NOT c.relispartition
    WHERE x.indisunique
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid)
      AND d.relname || '.' || c.relname <> ALL (%(indexes)s)
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


def find(conn: Connection) -> OfOthers:
    """Returns what is on our tables and not of this release. Not where the database's revision is
    newer than this program's: what it added would count as somebody's."""
    want = expected()
    names = {kind: list(want[kind]) for kind in ("tables", "triggers", "constraints", "indexes")}
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
