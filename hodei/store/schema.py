"""Is schema.sql applied, and apply it: read first, so that a start on a busy database takes no lock when nothing is missing."""

import asyncio
import random
from importlib import resources

import psycopg
from psycopg.rows import TupleRow

from hodei.domain.errors import Conflict, Unavailable

VERSION = 1

TABLES = (
    "hodei_schema", "jobs", "job_queue", "leases", "workers", "worker_bootstrap_tokens", "domain_events", "job_events", "job_logs",
    "provider_configs", "hodei_listening",
)  # fmt: skip

# Reads pg_class itself: to_regclass may answer from a cache that has not heard yet of what another session has just created.
STANDING = """
SELECT coalesce(array_agg(t.name), '{}')
FROM unnest(%(tables)s::text[]) AS t (name)
WHERE NOT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = t.name AND n.nspname = ANY (current_schemas(false)))
"""

APPLY_LOCK = "SELECT pg_advisory_xact_lock(hashtext('hodei schema'))"


def text() -> str:
    return resources.files("hodei.store").joinpath("schema.sql").read_text(encoding="utf-8")


def missing(conn: psycopg.Connection[TupleRow]) -> tuple[int, list[str]]:
    """The version that stands (0: none) and the tables that do not."""
    row = conn.execute(STANDING, {"tables": list(TABLES)}).fetchone()
    gone: list[str] = row[0] if row else list(TABLES)
    if "hodei_schema" in gone:
        return 0, gone
    row = conn.execute("SELECT version FROM hodei_schema").fetchone()
    return (row[0] if row else 0), gone


def check_sync(url: str) -> tuple[bool, str]:
    """Whether the schema stands, and words for people."""
    with _connect(url) as conn:
        version, gone = missing(conn)
    if version > VERSION:
        return False, f"the database's schema is version {version}, newer than this program's {VERSION}: upgrade Hodei"
    if gone:
        return False, f"missing: {', '.join(gone)}; run `hodei db apply`"
    if version < VERSION:
        return False, f"the database's schema is version {version}, this program's is {VERSION}; run `hodei db apply`"
    return True, f"schema version {version} stands"


def apply_sync(url: str) -> str:
    """Applies schema.sql in one transaction if it is old or incomplete. Conflict: the schema is newer than this program.

    Several may come at once: they queue on an advisory lock, and whoever comes second finds nothing to do. The lock time-out keeps a long
    query of somebody else from holding up everybody behind our ALTER; the caller retries (see ensure).
    """
    with _connect(url) as conn:
        version, gone = missing(conn)
        if version > VERSION:
            raise Conflict(f"the database's schema is version {version}, newer than this program's {VERSION}: upgrade Hodei")
        if version == VERSION and not gone:
            return f"schema version {version} stands; nothing to do"
        with conn.transaction():
            conn.execute("SET LOCAL lock_timeout = '5s'")
            conn.execute("SET LOCAL client_min_messages = warning")
            conn.execute(APPLY_LOCK)
            version, gone = missing(conn)
            if version == VERSION and not gone:
                return f"schema version {version} stands; nothing to do"
            conn.execute(text().encode())
    return f"applied schema version {VERSION}"


async def ensure(url: str) -> str:
    """As apply_sync, off the event loop, again while locks stand in the way (5 times, then Unavailable)."""
    for attempt in range(5):
        try:
            return await asyncio.to_thread(apply_sync, url)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            await asyncio.sleep((0.5 + random.random()) * (attempt + 1))  # noqa: S311
    raise Unavailable("schema.sql could not be applied: other sessions hold locks on Hodei's tables; end them or try again later")


def _connect(url: str) -> psycopg.Connection[TupleRow]:
    return psycopg.connect(url, autocommit=True, application_name="hodei schema", connect_timeout=5)
