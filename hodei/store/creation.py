"""Creates jobs; on an idle system their claim goes along in the same transaction (ADR 9)."""

import json
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from hodei.store import claims
from hodei.store.claims import Claimed, ClaimRequest
from hodei.store.database import Connection
from hodei.store.statements import Call, guarded_rows, rows


class NewJob(NamedTuple):
    id: uuid.UUID
    actor: str
    spec: dict[str, Any]  # normalised


# The argument depends on the setting, so that it is made first: an id that somebody else's open
# transaction creates is not waited for.
CREATE = """
SELECT c.job_id, c.outcome
FROM set_config('lock_timeout', '100ms', true) AS s (set)
CROSS JOIN LATERAL hodei_create_jobs(CASE WHEN s.set <> '' THEN %(records)s::jsonb END) c
"""


def _creating(new: Sequence[NewJob]) -> Call:
    records = [{"id": str(job.id), "actor": job.actor, "spec": job.spec} for job in new]
    return CREATE, {"records": json.dumps(records, ensure_ascii=False)}


async def create(conn: Connection, new: Sequence[NewJob]) -> dict[uuid.UUID, str]:
    """Outcome for each id: created, existed (same spec) or conflict (another spec; nothing of it
    stored)."""
    return dict(await rows(conn, *_creating(new)))


async def create_and_claim(
    conn: Connection, new: Sequence[NewJob], request: ClaimRequest, accept_within_s: float
) -> tuple[dict[uuid.UUID, str], Claimed]:
    """Both in one transaction and one round trip. What is claimed need not be what is created: the
    best that waits goes first."""
    outcomes, found = await guarded_rows(
        conn, _creating(new), claims.claiming(request, accept_within_s)
    )
    return dict(outcomes), claims.claimed(found)


RETRIED_FROM = "UPDATE jobs SET retry_of = %(old)s WHERE id = %(new)s AND retry_of IS NULL"


async def name_origin(conn: Connection, new: uuid.UUID, old: uuid.UUID) -> None:
    """Says of a job just created, in the same transaction, which one it repeats."""
    await conn.execute(RETRIED_FROM, {"new": new, "old": old})
