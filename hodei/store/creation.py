"""Creates jobs. On an idle system their claim goes along in the same transaction (ADR 9)."""

import json
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from hodei.domain.actor import on_behalf_of
from hodei.domain.errors import Locked
from hodei.domain.job import Creation
from hodei.domain.project import DEFAULT
from hodei.store import claims
from hodei.store.claims import Claimed, ClaimRequest
from hodei.store.database import Connection
from hodei.store.statements import Call, brief_rows, guarded_rows, rows


class NewJob(NamedTuple):
    """A job that is to be created."""

    id: uuid.UUID
    actor: str
    spec: dict[str, Any]  # normalised
    project: str = DEFAULT


# The argument depends on the setting, so that the setting is made first: the function must not wait
# for an id that somebody else's open transaction creates.
CREATE = """
SELECT c.job_id, c.outcome
FROM set_config('lock_timeout', %(patience)s, true) AS s (set)
CROSS JOIN LATERAL hodei_create_jobs(CASE WHEN s.set <> '' THEN %(records)s::jsonb END) c
"""


CREATE_UNLOCKED = """
SELECT c.job_id, c.outcome
FROM set_config('lock_timeout', '2ms', true) AS s (set)
CROSS JOIN LATERAL hodei_create_unlocked(CASE WHEN s.set <> '' THEN %(records)s::jsonb END) c
"""
"""Waits for each locked id, and the innocent creates of the batch wait too: 500 ids cost a
second."""


PATIENCE = "20ms"
"""How long a create of many waits for an id that is locked. Innocent creates wait with it."""


def _creating(new: Sequence[NewJob], patience: str) -> Call:
    return CREATE, {"records": _records(new), "patience": patience}


def _records(new: Sequence[NewJob]) -> str:
    return json.dumps([_record(job) for job in new], ensure_ascii=False)


def _record(job: NewJob) -> dict[str, Any]:
    record = {"id": str(job.id), "actor": job.actor, "spec": job.spec, "project": job.project}
    if said := on_behalf_of(job.actor):
        record["on_behalf_of"] = said
    return record


def _created(found: Sequence[tuple[Any, ...]]) -> dict[uuid.UUID, Creation]:
    return {job_id: Creation(outcome) for job_id, outcome in found}


async def create(
    conn: Connection, new: Sequence[NewJob], patience: str = "100ms"
) -> dict[uuid.UUID, Creation]:
    """Creates jobs, and returns for each id what became of it. Locked: somebody else's transaction
    is creating one of these ids, and was not over after `patience`; nothing was done."""
    return _created(await rows(conn, *_creating(new, patience)))


async def create_briefly(
    conn: Connection, new: Sequence[NewJob], patience: str = "100ms"
) -> dict[uuid.UUID, Creation]:
    """Does as `create`, for some seconds at most, which costs a statement more. Locked: as well
    where a trigger of somebody does not come to its end by then."""
    return _created(await brief_rows(conn, *_creating(new, patience)))


async def create_unlocked(
    conn: Connection, new: Sequence[NewJob]
) -> dict[uuid.UUID, Creation | Locked]:
    """Creates those of the jobs whose ids no open transaction is creating; Locked for the rest."""
    found = await rows(conn, CREATE_UNLOCKED, {"records": _records(new)})
    locked = Locked("another transaction is creating a job of this id")
    return {job: locked if said == "locked" else Creation(said) for job, said in found}


async def create_and_claim(
    conn: Connection, new: Sequence[NewJob], request: ClaimRequest, accept_within_s: float
) -> tuple[dict[uuid.UUID, Creation], Claimed]:
    """Creates jobs and claims in one transaction and one round trip. What is claimed need not be
    what is created: the best that waits goes first."""
    outcomes, found = await guarded_rows(
        conn, _creating(new, PATIENCE), claims.claiming(request, accept_within_s)
    )
    return _created(outcomes), claims.claimed(found)


RETRIED_FROM = "UPDATE jobs SET retry_of = %(old)s WHERE id = %(new)s AND retry_of IS NULL"


async def name_origin(conn: Connection, new: uuid.UUID, old: uuid.UUID) -> None:
    """Writes down which job a job repeats that was created in the same transaction."""
    await conn.execute(RETRIED_FROM, {"new": new, "old": old})
