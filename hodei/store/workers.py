"""Workers: what operators change, and lists. sessions.py has what a worker does by its own stream,
silent_workers.py who is silent for too long."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from hodei.domain.actor import said_by
from hodei.domain.state_words import state_of
from hodei.domain.worker import WorkerState
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import brief_rows, rows

# One statement for each way in which a worker's state changes without its heartbeat. A parameter
# that is NULL changes nothing; without a state, the one after DRAINING follows from the slots, also
# between two streams; who is away is not DRAINING before it is back. `why` goes into the event.
CHANGE = """
WITH before AS MATERIALIZED (
    SELECT w.id, w.state, w.draining, w.last_heartbeat
    FROM workers w
    WHERE w.id = %(worker)s
      AND (%(session)s::bigint IS NULL OR w.session = %(session)s)
    FOR UPDATE
), changed AS (
    UPDATE workers w
    SET state = CASE
            WHEN %(state)s = 'DRAINING' AND w.state NOT IN ('READY', 'BUSY') THEN w.state
            WHEN %(state)s IS NOT NULL THEN %(state)s
            WHEN w.state <> 'DRAINING' THEN w.state
            WHEN w.busy_slots >= w.slots THEN 'BUSY'
            ELSE 'READY'
        END,
        draining = coalesce(%(draining)s, w.draining),
        drained_at = CASE
            WHEN NOT %(draining)s THEN NULL
            WHEN %(draining)s AND NOT w.draining THEN clock_timestamp()
            ELSE w.drained_at
        END,
        drained_by = CASE
            WHEN NOT %(draining)s THEN NULL
            WHEN %(draining)s AND NOT w.draining THEN %(actor)s
            ELSE w.drained_by
        END,
        connected = w.connected AND coalesce(%(connected)s, true),
        revoked_at = CASE
            WHEN %(revoked)s THEN coalesce(w.revoked_at, clock_timestamp())
            ELSE w.revoked_at
        END,
        updated_at = greatest(clock_timestamp(), w.updated_at + interval '1 microsecond')
    FROM before b
    WHERE w.id = b.id
    RETURNING w.id, w.state, w.updated_at, b.state AS old_state, b.last_heartbeat,
              w.draining <> b.draining AS drain_changed
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT c.updated_at,
           CASE WHEN %(revoked)s THEN 'WorkerRevoked' ELSE 'WorkerStatusChanged' END,
           c.id::text, c.id::text, %(actor)s, c.id,
           jsonb_build_object(
               'worker_id', c.id,
               'old_status', initcap(c.old_state),
               'new_status', initcap(c.state),
               'last_heartbeat', c.last_heartbeat,
               'reason', %(why)s::text)
           || %(said)s::jsonb
    FROM changed c
    WHERE c.old_state <> c.state OR c.drain_changed OR %(revoked)s
)
SELECT pg_notify('hodei_worker', c.id::text)
FROM changed c
"""


async def change(
    conn: Connection,
    worker_id: uuid.UUID,
    actor: str,
    why: str,
    *,
    session: int | None = None,
    state: WorkerState | None = None,
    draining: bool | None = None,
    connected: bool | None = None,
    revoked: bool = False,
) -> bool:
    """Changes a worker's row, and notifies the server that holds its stream. False: there is no
    such worker, or `session` is given and is no longer its session."""
    parameters = {
        "worker": worker_id,
        "session": session,
        "state": state,
        "draining": draining,
        "connected": connected,
        "revoked": revoked,
        "actor": actor,
        "said": said_by(actor),
        "why": why,
    }
    return bool(await brief_rows(conn, CHANGE, parameters))


async def drain(conn: Connection, worker_id: uuid.UUID, actor: str) -> bool:
    """The worker gets no new jobs, until `undrain`. False: there is no such worker."""
    why = "drain asked for"
    return await change(conn, worker_id, actor, why, state=WorkerState.DRAINING, draining=True)


async def undrain(conn: Connection, worker_id: uuid.UUID, actor: str) -> bool:
    """The worker gets jobs again. False: there is no such worker."""
    return await change(conn, worker_id, actor, "drain taken back", draining=False)


async def revoke(conn: Connection, worker_id: uuid.UUID, actor: str) -> bool:
    """Ends the worker's credential: its stream is closed, and its jobs run again or fail. False:
    there is no such worker."""
    return await change(
        conn,
        worker_id,
        actor,
        "credential revoked",
        state=WorkerState.TERMINATED,
        connected=False,
        revoked=True,
    )


@dataclass(frozen=True, slots=True)
class Worker:
    """A row of `workers` as the API shows it."""

    id: uuid.UUID
    name: str
    state: WorkerState
    labels: dict[str, str]
    slots: int
    busy_slots: int
    heartbeat_age_s: float | None
    version: str
    current_job_id: uuid.UUID | None
    current_job_name: str | None
    created_at: int  # microseconds since 1970
    revoked: bool
    draining: bool
    session: int
    job_user: str | None
    about: dict[str, Any]
    connected_at: int | None
    last_heartbeat: int | None
    drained_at: int | None
    drained_by: str | None
    server_id: uuid.UUID | None
    projects: list[str]
    credential_since: int
    credential_age_s: float | None  # None: it came into force at infinity, as a hand has set it
    connected: bool  # a server has its stream


# Names and labels of rows that no check has seen (of an older release, or set by hand) are cut.
LIST = """
SELECT w.id,
       left(w.name, 200) AS name,
       left(w.state, 20) AS state,
       CASE
           WHEN octet_length(w.labels::text) <= 40000 AND jsonb_typeof(w.labels) = 'object'
           THEN w.labels
           ELSE '{}'
       END AS labels,
       w.slots,
       w.busy_slots,
       CASE WHEN isfinite(w.last_heartbeat)
            THEN extract(epoch FROM clock_timestamp() - w.last_heartbeat)::float8 END
           AS heartbeat_age_s,
       left(w.version, 200) AS version,
       CASE WHEN %(project)s::text IS NULL THEN w.current_job_id ELSE c.id END AS current_job_id,
       c.name AS current_job_name,
       w.created_at,
       w.revoked_at IS NOT NULL AS revoked,
       w.draining,
       w.session,
       left(w.job_user, 200) AS job_user,
       CASE
           WHEN octet_length(w.about::text) <= 20000 AND jsonb_typeof(w.about) = 'object'
           THEN w.about
           ELSE '{}'
       END AS about,
       w.connected_at,
       w.last_heartbeat,
       w.drained_at,
       left(w.drained_by, 500) AS drained_by,
       w.server_id,
       ARRAY(SELECT left(p, 63) FROM unnest(w.projects[:100]) p) AS projects,
       coalesce(w.credential_since, w.created_at) AS credential_since,
       CASE
           WHEN isfinite(coalesce(w.credential_since, w.created_at))
           THEN extract(
               epoch FROM clock_timestamp() - coalesce(w.credential_since, w.created_at))::float8
       END AS credential_age_s,
       w.connected
FROM workers w
LEFT JOIN LATERAL (
    SELECT j.id, left(j.name, 200) AS name
    FROM jobs j
    WHERE j.id = w.current_job_id
      AND (%(project)s::text IS NULL OR j.project = %(project)s::text)
) c ON true
WHERE (%(worker)s::uuid IS NULL OR w.id = %(worker)s::uuid)
  AND (%(every)s::boolean OR w.state <> 'TERMINATED')
  AND (%(states)s::text[] IS NULL OR w.state = ANY (%(states)s::text[]))
  AND (%(labels)s::jsonb IS NULL OR w.labels @> %(labels)s::jsonb)
  AND (%(before)s::uuid IS NULL
       OR (w.created_at, w.id) < (
           SELECT b.created_at, b.id FROM workers b WHERE b.id = %(before)s::uuid))
ORDER BY w.created_at DESC, w.id DESC
LIMIT %(limit)s::bigint
"""

MOST = 1000
"""Workers of one answer."""


async def list_all(
    conn: Connection,
    *,
    every: bool = True,
    worker_id: uuid.UUID | None = None,
    before: uuid.UUID | None = None,
    states: Collection[str] | None = None,
    labels: Mapping[str, str] | None = None,
    limit: int = MOST,
    project: str | None = None,
) -> list[Worker]:
    """Returns the newest workers, or the newest of those older than `before`, in one of `states`
    (None: any) and with all of `labels`. Without `every`, TERMINATED ones are left out. With
    `project`, a worker's current job is shown only if it is of that project."""
    parameters = {
        "worker": worker_id,
        "every": every,
        "before": before,
        "states": array(list(states)) if states is not None else None,
        "labels": Jsonb(dict(labels)) if labels else None,
        "limit": limit,
        "project": project,
    }
    found = await rows(conn, LIST, parameters)
    return [Worker(row[0], row[1], state_of(WorkerState, row[2]), *row[3:]) for row in found]
