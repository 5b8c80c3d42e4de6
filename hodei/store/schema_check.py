"""Checks that a database has the schema, and that a role may work on it as a server does."""

from typing import LiteralString, NamedTuple

from hodei.store import of_others, rights
from hodei.store.connecting import Connection, connect, in_words
from hodei.store.schema import NAME, REVISION, VERSION, applied
from hodei.store.suitable import check_database
from hodei.store.untimed import again_where_timed_out, untimed

# The jobs that schema.sql ends as REJECTED when it raises a database to revision 4, by the same
# rule.
ODD_JOBS: LiteralString = """
SELECT count(*)
FROM job_queue q
JOIN jobs j ON j.id = q.job_id AND j.state = 'PENDING' AND j.lease IS NULL
WHERE j.run_at < '2000-01-01T00:00:00Z'
   OR j.run_at >= '3000-01-01T00:00:00Z'
   OR EXISTS (
       SELECT
       FROM jsonb_each(CASE WHEN jsonb_typeof(j.spec) = 'object' THEN j.spec ELSE '{}' END) s
       WHERE s.key IN ('timeout', 'queue_timeout', 'start_timeout', 'silence_timeout')
         AND CASE WHEN jsonb_typeof(s.value) = 'number' THEN s.value::numeric < 0.0005 END)
"""


def _odd_jobs(conn: Connection) -> str:
    """Returns in words what an upgrade will do to jobs that a release before took; '': nothing."""
    row = conn.execute(ODD_JOBS).fetchone()
    if not row or not row[0]:
        return ""
    jobs = "1 job waits" if row[0] == 1 else f"{row[0]} jobs wait"
    return (
        f"; {jobs} with a limit under 1 ms or a time beyond the years 2000 to 2999"
        " and will end as FAILED (REJECTED)"
    )


class Checked(NamedTuple):
    """What a check has found."""

    stands: bool  # the schema is complete, and the role has a server's rights
    words: str  # for people, a line for each finding


@again_where_timed_out
def check_sync(url: str) -> Checked:
    """Checks the schema and the rights of this role. Conflict, Invalid, Unavailable: it cannot be
    checked."""
    with connect(url, NAME) as conn, in_words("the schema could not be checked"), untimed(conn):
        check_database(conn)
        found = applied(conn)
        if found.version > VERSION:
            return Checked(False, found.newer)
        if not found.gaps and not found.version:
            return Checked(False, "table hodei_schema is empty; run `hodei db apply`")
        if found.version and (found.version, found.revision) < (VERSION, REVISION):
            words = (
                f"the database's schema is version {found},"
                f" this program's is {VERSION}.{REVISION}; run `hodei db apply`"
            )
            return Checked(False, words + _odd_jobs(conn))
        refusing, theirs = of_others.find(conn) if found.revision == REVISION else ([], [])
        if found.gaps:
            return Checked(False, "\n".join((*found.advice, *refusing, *theirs)))
        lacking = [*rights.lacking(conn), *refusing]
        stands = f"schema version {found} stands"
        return Checked(not lacking, "\n".join((stands, *lacking, *rights.notes(conn), *theirs)))
