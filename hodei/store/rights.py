"""Whether the role of a connection may do what a server does, each finding in one line. docs/database.md has the GRANTs."""

from typing import LiteralString

from hodei.store.connecting import Connection

TABLES = {
    "jobs": "SELECT, INSERT, UPDATE, DELETE",
    "job_queue": "SELECT, INSERT, UPDATE, DELETE",
    "leases": "SELECT, INSERT, UPDATE, DELETE",
    "workers": "SELECT, INSERT, UPDATE, DELETE",
    "worker_bootstrap_tokens": "SELECT, INSERT, UPDATE, DELETE",
    "domain_events": "SELECT, INSERT",
    "domain_events_default": "SELECT",
    "job_logs": "SELECT, INSERT",
    "job_logs_default": "SELECT",
    "hodei_listening": "SELECT, INSERT, UPDATE",
    "hodei_schema": "SELECT",
}
SEQUENCES = {"hodei_lease_seq": "USAGE", "domain_events_id_seq": "USAGE"}

LACKING: LiteralString = """
SELECT format('missing right: %%s ON %%s%%s', need.privilege, need.on_what, CASE WHEN need.why = '' THEN '' ELSE ' (' || need.why || ')' END)
FROM (
    SELECT 1, trim(p), t.name, '', has_table_privilege(c.oid, trim(p))
    FROM unnest(%(tables)s::text[], %(privileges)s::text[]) AS t (name, privileges), unnest(string_to_array(t.privileges, ',')) p, pg_class c
    WHERE c.relname = t.name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
    UNION ALL
    SELECT 2, 'USAGE', s.name, '', has_sequence_privilege(c.oid, 'USAGE')
    FROM unnest(%(sequences)s::text[]) AS s (name), pg_class c
    WHERE c.relname = s.name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
    UNION ALL
    SELECT 3, 'EXECUTE', 'FUNCTION ' || p.oid::regprocedure,
           CASE p.proname WHEN 'hodei_make_days' THEN 'without it no days are made ahead'
                          WHEN 'hodei_drop_day' THEN 'without it old days stay'
                          WHEN 'hodei_pass_live_leases' THEN 'without it a restored database may claim under numbers in use' ELSE '' END,
           has_function_privilege(p.oid, 'EXECUTE')
    FROM pg_proc p
    WHERE p.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
      AND starts_with(p.proname, 'hodei_') AND p.proname <> 'hodei_enqueue'
      AND p.prorettype <> 'trigger'::regtype
) AS need (rank, privilege, on_what, why, given)
WHERE NOT need.given
ORDER BY need.rank, need.on_what, need.privilege
"""


def lacking(conn: Connection) -> list[str]:
    """What a server's role needs and this one has not."""
    parameters = {"tables": list(TABLES), "privileges": list(TABLES.values()), "sequences": list(SEQUENCES)}
    return [row[0] for row in conn.execute(LACKING, parameters)]


# MAINTAIN is a privilege since PostgreSQL 17; before, only the owner of a table or of the database may vacuum it.
NOTES: LiteralString = """
SELECT format('note: role %%I may not vacuum job_queue and leases, and leaves that to autovacuum: claims get slower under load until it comes '
              '(%%s)', current_user, CASE WHEN current_setting('server_version_num')::integer >= 170000
                                      THEN 'GRANT MAINTAIN ON job_queue, leases' ELSE 'before PostgreSQL 17 only their owner may' END)
WHERE EXISTS (
    SELECT FROM pg_class c
    WHERE c.oid IN ('job_queue'::regclass, 'leases'::regclass) AND NOT pg_has_role(c.relowner, 'USAGE')
      AND NOT pg_has_role((SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()), 'USAGE')
      AND NOT CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE false END)
UNION ALL
SELECT format('note: every role may create in schema %%I, and could put functions there that ours would call: '
              'REVOKE CREATE ON SCHEMA %%I FROM PUBLIC', n.nspname, n.nspname)
FROM pg_namespace n
WHERE n.nspname = current_schema() AND EXISTS (
    SELECT FROM aclexplode(n.nspacl) a WHERE a.grantee = 0 AND a.privilege_type = 'CREATE')
"""


def notes(conn: Connection) -> list[str]:
    """What is no fault of the schema's, and worth a line."""
    return [row[0] for row in conn.execute(NOTES)]
