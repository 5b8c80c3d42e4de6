"""Checks whether the role of a connection may do what a server does. docs/database.md has the
GRANTs."""

from collections.abc import Sequence
from typing import LiteralString

from hodei.store.connecting import Connection
from hodei.store.expected import expected
from hodei.store.untimed import untimed

TABLES = {
    "jobs": "SELECT, INSERT, UPDATE, DELETE",
    "job_queue": "SELECT, INSERT, UPDATE, DELETE",
    "leases": "SELECT, INSERT, UPDATE, DELETE",
    "workers": "SELECT, INSERT, UPDATE, DELETE",
    "worker_bootstrap_tokens": "SELECT, INSERT, UPDATE, DELETE",
    "api_keys": "SELECT, INSERT, UPDATE",
    "project_grants": "SELECT, INSERT, DELETE",
    "secrets": "SELECT, INSERT, UPDATE, DELETE",
    "domain_events": "SELECT, INSERT",
    "domain_events_default": "SELECT",
    "job_logs": "SELECT, INSERT",
    "job_logs_default": "SELECT",
    "provider_configs": "SELECT, INSERT, UPDATE, DELETE",
    "hodei_listening": "SELECT, INSERT, UPDATE",
    "hodei_servers": "SELECT, INSERT, UPDATE, DELETE",
    "hodei_schema": "SELECT",
}
SEQUENCES = ("hodei_lease_seq", "domain_events_id_seq")

LACKING: LiteralString = """
WITH ours AS (
    SELECT n.oid FROM pg_namespace n WHERE n.nspname = current_schema()
), hidden AS (
    SELECT c.relname
    FROM pg_class c
    WHERE c.relnamespace IN (SELECT o.oid FROM ours o)
      AND c.relname = ANY (%(tables)s::text[])
      AND c.relrowsecurity
      AND CASE WHEN c.relkind IN ('r', 'p') THEN row_security_active(c.oid) END
), functions AS (
    SELECT p.oid, p.proname, p.prorettype, p.proowner, p.oid::regprocedure::text AS name
    FROM pg_proc p
    WHERE p.pronamespace IN (SELECT o.oid FROM ours o)
      AND format('%%s(%%s)', p.proname, oidvectortypes(p.proargtypes)) = ANY (%(functions)s)
), of_others AS (  -- whose owner has not all that an owner of ours has
    SELECT p.proowner, c.relowner, min(c.relname) AS table, count(DISTINCT p.oid) AS how_many,
           (array_agg(DISTINCT p.name))[:3] AS names
    FROM functions p
    JOIN pg_class c ON c.relnamespace IN (SELECT o.oid FROM ours o)
        AND c.relname = ANY (%(tables)s::text[])
    WHERE NOT pg_has_role(p.proowner, c.relowner, 'USAGE')
    GROUP BY p.proowner, c.relowner
), need AS (
    SELECT trim(p) AS privilege, t.name AS on_what, NULL AS why,
           has_table_privilege(c.oid, trim(p)) AS given
    FROM unnest(%(tables)s::text[], %(privileges)s::text[]) AS t (name, privileges)
    JOIN pg_class c ON c.relname = t.name AND c.relnamespace IN (SELECT o.oid FROM ours o),
         unnest(string_to_array(t.privileges, ',')) p
    UNION ALL
    SELECT 'USAGE', 'SEQUENCE ' || s.name, NULL,
           -- by the plan it may be asked about any relation, and fails for what is no sequence
           CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'USAGE') END
    FROM unnest(%(sequences)s::text[]) AS s (name)
    JOIN pg_class c ON c.relname = s.name AND c.relnamespace IN (SELECT o.oid FROM ours o)
    UNION ALL
    SELECT 'EXECUTE', 'FUNCTION ' || p.name,
           CASE p.proname
               WHEN 'hodei_make_days' THEN 'without it no days are made ahead'
               WHEN 'hodei_drop_day' THEN 'without it old days stay'
               WHEN 'hodei_pass_live_leases'
               THEN 'without it a restored database may claim under numbers in use'
           END,
           has_function_privilege(p.oid, 'EXECUTE')
    FROM functions p
    WHERE p.proname <> 'hodei_enqueue' AND p.prorettype <> 'trigger'::regtype
)
SELECT format('missing right: %%s ON %%s', n.privilege, n.on_what)
       || coalesce(' (' || n.why || ')', '')
FROM need n
WHERE n.given IS NOT TRUE
UNION ALL
SELECT format('row level security hides rows of %%s from this role: ALTER ROLE … BYPASSRLS,'
              ' or ALTER TABLE %%1$s DISABLE ROW LEVEL SECURITY', h.relname)
FROM hidden h
UNION ALL
SELECT format('role %%s owns function %%s%%s, and has not the rights of role %%s, which owns table'
              ' %%s: ALTER FUNCTION … OWNER TO %%4$s',
              t.proowner::regrole, array_to_string(t.names, ', '),
              CASE WHEN t.how_many > 3 THEN format(' and %%s more', t.how_many - 3) END,
              t.relowner::regrole, t.table)
FROM of_others t
ORDER BY 1
"""


def lacking(conn: Connection) -> list[str]:
    """Returns the rights that a server's role needs and this role lacks, a line for each, and those
    that functions lack because somebody else owns them: that role could also replace them."""
    parameters = {
        "tables": list(TABLES),
        "privileges": list(TABLES.values()),
        "sequences": list(SEQUENCES),
        "functions": list(expected()["functions"]),
    }
    with untimed(conn):
        return [row[0] for row in conn.execute(LACKING, parameters)]


# MAINTAIN is a privilege since PostgreSQL 17; before, only the owner of a table or of the database
# may vacuum it.
MAY_NOT_VACUUM: LiteralString = """
SELECT current_user, current_setting('server_version_num')::integer >= 170000
FROM pg_class c, pg_database d
WHERE c.oid IN ('job_queue'::regclass, 'leases'::regclass)
  AND d.datname = current_database()
  AND NOT pg_has_role(c.relowner, 'USAGE')
  AND NOT pg_has_role(d.datdba, 'USAGE')
  AND CASE WHEN current_setting('server_version_num')::integer >= 170000
           THEN NOT has_table_privilege(c.oid, 'MAINTAIN') ELSE true END
LIMIT 1
"""

EVERYBODY_CREATES: LiteralString = """
SELECT format('%I', n.nspname)
FROM pg_namespace n, aclexplode(n.nspacl) a
WHERE n.nspname = current_schema() AND a.grantee = 0 AND a.privilege_type = 'CREATE'
"""


def notes(conn: Connection) -> list[str]:
    """Returns a line for each thing that is worth knowing, and by which no server fails."""
    found = []
    for role, by_grant in conn.execute(MAY_NOT_VACUUM):
        way = (
            "GRANT MAINTAIN ON job_queue, leases"
            if by_grant
            else "PostgreSQL before 17 lets only owners"
        )
        found.append(
            f"note: role {role} may not vacuum job_queue and leases,"
            f" autovacuum does it later ({way})"
        )
    for (schema,) in conn.execute(EVERYBODY_CREATES):
        found.append(
            f"note: every role may create functions in schema {schema} that ours would call:"
            f" REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC"
        )
    return found


# A function that everybody may call needs no grant.
UNGRANTED: LiteralString = """
WITH made AS (
    SELECT m.kind, m.name
    FROM unnest(%(kinds)s::text[], %(names)s::text[]) AS m (kind, name)
    WHERE CASE WHEN m.kind = 'function' THEN NOT has_function_privilege('public', m.name, 'EXECUTE')
               ELSE m.kind IN ('table', 'sequence', 'view') END
)
SELECT (SELECT string_agg(m.kind || ' ' || m.name, ', ' ORDER BY m.name) FROM made m),
       string_agg(DISTINCT a.grantee::regrole::text, ', ')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema(),
     aclexplode(c.relacl) a
WHERE c.relname = ANY (%(tables)s::text[]) AND a.grantee NOT IN (0, c.relowner)
"""


def granted_no_more(conn: Connection, made: Sequence[str]) -> str:
    """Returns, in words, which of the objects that were made again have lost their grants, and which
    roles have some on the others; '': none. `made`: as gaps name them."""
    parted = [what.partition(" ") for what in made]
    parameters = {
        "kinds": [kind for kind, _, _ in parted],
        "names": [name for _, _, name in parted],
        "tables": list(TABLES),
    }
    with untimed(conn):
        row = conn.execute(UNGRANTED, parameters).fetchone()
    if not row or not row[0] or not row[1]:
        return ""
    return (
        f"; made again without grants: {row[0]} (these roles may have had some: {row[1]})"
        "; `hodei db check` as the role of servers names those that it lacks"
    )
