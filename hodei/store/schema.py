"""Is schema.sql applied, and apply it: read first, so that a start on a busy database takes no lock when nothing is missing."""

import asyncio
import random
from importlib import resources
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from hodei.domain.errors import Conflict, Unavailable

VERSION = 1
"""Of the schema: programs of another version refuse it."""

REVISION = 4
"""Within a version: programs of neighbouring revisions run side by side on it."""

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


class Standing(NamedTuple):
    """What a database has; version and revision 0: nothing of ours."""

    version: int
    revision: int
    gone: list[str]

    @property
    def whole(self) -> bool:
        """A newer revision may stand: what it added does not disturb us."""
        return self.version == VERSION and self.revision >= REVISION and not self.gone

    def __str__(self) -> str:
        return f"{self.version}.{self.revision}"


def standing(conn: psycopg.Connection[TupleRow]) -> Standing:
    row = conn.execute(STANDING, {"tables": list(TABLES)}).fetchone()
    gone: list[str] = row[0] if row else list(TABLES)
    if "hodei_schema" in gone:
        return Standing(0, 0, gone)
    # Through JSON: the first revision had no such column.
    row = conn.execute("SELECT s.version, coalesce((to_jsonb(s) ->> 'revision')::integer, 1) FROM hodei_schema s").fetchone()
    return Standing(row[0], row[1], gone) if row else Standing(0, 0, gone)


def check_sync(url: str) -> tuple[bool, str]:
    """Whether the schema stands, and words for people."""
    with _connect(url) as conn:
        found = standing(conn)
    if found.version > VERSION:
        return False, f"the database's schema is version {found}, newer than this program's {VERSION}.{REVISION}: upgrade Hodei"
    if found.gone:
        return False, f"missing: {', '.join(found.gone)}; run `hodei db apply`"
    if not found.whole:
        return False, f"the database's schema is version {found}, this program's is {VERSION}.{REVISION}; run `hodei db apply`"
    return True, f"schema version {found} stands"


def apply_sync(url: str) -> str:
    """Applies schema.sql in one transaction if it is old or incomplete. Conflict: the schema is newer than this program.

    Several may come at once: they queue on an advisory lock, and whoever comes second finds nothing to do. The lock time-out keeps a long
    query of somebody else from holding up everybody behind our ALTER; the caller retries (see ensure).
    """
    with _connect(url) as conn:
        found = standing(conn)
        if found.version > VERSION:
            raise Conflict(f"the database's schema is version {found}, newer than this program's {VERSION}.{REVISION}: upgrade Hodei")
        if found.whole:
            return f"schema version {found} stands; nothing to do"
        if found.revision > REVISION:
            raise Conflict(
                f"missing: {', '.join(found.gone)}; the database's schema is revision {found}, newer than this program's "
                f"{VERSION}.{REVISION}: run `hodei db apply` of the newer program"
            )
        with conn.transaction():
            conn.execute("SET LOCAL lock_timeout = '5s'")
            conn.execute("SET LOCAL client_min_messages = warning")
            conn.execute(APPLY_LOCK)
            if (found := standing(conn)).whole:
                return f"schema version {found} stands; nothing to do"
            conn.execute(text().encode())
    return f"applied schema version {VERSION}.{REVISION}"


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
