"""Workers: their credential's hash, whose stream speaks for them (the session), and how long they
have been silent.

Each change of state writes WorkerStatusChanged in its statement; its names are in PascalCase, as
the guide's queries read them."""

import uuid
from dataclasses import dataclass
from typing import NamedTuple

from hodei.store.database import Connection
from hodei.store.statements import brief_rows, rows

# One statement for each way in which a worker's state changes without its heartbeat; `why` goes
# into the event.
CHANGE = """
WITH before AS MATERIALIZED (
    SELECT w.id, w.state, w.last_heartbeat FROM workers w
    WHERE w.id = %(worker)s AND (%(session)s::bigint IS NULL OR w.session = %(session)s)
    FOR UPDATE
), changed AS (
    UPDATE workers w
    SET state = coalesce(%(state)s, CASE WHEN NOT w.connected THEN w.state WHEN w.busy_slots >= w.slots THEN 'BUSY' ELSE 'READY' END),
        draining = coalesce(%(draining)s, w.draining),
        connected = w.connected AND coalesce(%(connected)s, true),
        revoked_at = CASE WHEN %(revoked)s THEN coalesce(w.revoked_at, clock_timestamp()) ELSE w.revoked_at END,
        updated_at = greatest(clock_timestamp(), w.updated_at + interval '1 microsecond')
    FROM before b
    WHERE w.id = b.id
    RETURNING w.id, w.state, w.updated_at, b.state AS old_state, b.last_heartbeat
), story AS (
    INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT c.updated_at, CASE WHEN %(revoked)s THEN 'WorkerRevoked' ELSE 'WorkerStatusChanged' END, c.id::text, c.id::text, %(actor)s, c.id,
           jsonb_build_object('worker_id', c.id, 'old_status', initcap(c.old_state), 'new_status', initcap(c.state),
                              'last_heartbeat', c.last_heartbeat, 'reason', %(why)s::text)
    FROM changed c
    WHERE c.old_state <> c.state OR %(revoked)s
)
SELECT pg_notify('hodei_worker', c.id::text) FROM changed c
"""


async def change(
    conn: Connection,
    worker_id: uuid.UUID,
    actor: str,
    why: str,
    *,
    session: int | None = None,
    state: str | None = None,
    draining: bool | None = None,
    connected: bool | None = None,
    revoked: bool = False,
) -> bool:
    parameters = {
        "worker": worker_id,
        "session": session,
        "state": state,
        "draining": draining,
        "connected": connected,
        "revoked": revoked,
        "actor": actor,
        "why": why,
    }
    return bool(await brief_rows(conn, CHANGE, parameters))


async def drain(conn: Connection, worker_id: uuid.UUID, actor: str) -> bool:
    return await change(conn, worker_id, actor, "drain asked for", state="DRAINING", draining=True)


async def undrain(conn: Connection, worker_id: uuid.UUID, actor: str) -> bool:
    return await change(conn, worker_id, actor, "drain taken back", draining=False)


async def revoke(conn: Connection, worker_id: uuid.UUID, actor: str) -> bool:
    """Ends its credential: its stream is closed and its jobs are given away."""
    return await change(
        conn,
        worker_id,
        actor,
        "credential revoked",
        state="TERMINATED",
        connected=False,
        revoked=True,
    )


# Silence counts by the database's clock from the later of last contact and listening_since (R7).
# Lost: its session ends, so that a late stream of it is refused until it connects anew.
SILENT = """
WITH silent AS MATERIALIZED (
    SELECT w.id, w.state, w.last_heartbeat,
           greatest(w.last_heartbeat, h.listening_since) < clock_timestamp() - make_interval(secs => %(lost_after_s)s) AS lost
    FROM workers w CROSS JOIN hodei_listening h
    WHERE w.state NOT IN ('TERMINATED', 'REGISTERING')
      AND h.last_beat > clock_timestamp() - interval '15 seconds'
      AND greatest(w.last_heartbeat, h.listening_since) < clock_timestamp() - make_interval(secs => %(unreachable_after_s)s)
    ORDER BY w.id
    LIMIT 500
    FOR UPDATE OF w SKIP LOCKED
), changed AS (
    UPDATE workers w
    SET state = CASE WHEN s.lost THEN 'TERMINATED' ELSE 'UNREACHABLE' END,
        session = w.session + s.lost::integer,
        connected = w.connected AND NOT s.lost,
        updated_at = greatest(clock_timestamp(), w.updated_at + interval '1 microsecond')
    FROM silent s
    WHERE w.id = s.id AND (s.lost OR s.state <> 'UNREACHABLE')
    RETURNING w.id, w.state, w.updated_at, s.state AS old_state, s.last_heartbeat
), story AS (
    INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT c.updated_at, 'WorkerStatusChanged', c.id::text, c.id::text, 'system:worker_monitor', c.id,
           jsonb_build_object('worker_id', c.id, 'old_status', initcap(c.old_state), 'new_status', initcap(c.state),
                              'last_heartbeat', c.last_heartbeat, 'reason', 'silent')
    FROM changed c
)
SELECT c.id, c.state, c.last_heartbeat FROM changed c
"""


async def judge_silent(
    conn: Connection, unreachable_after_s: float, lost_after_s: float
) -> list[tuple[uuid.UUID, str, int | None]]:
    """Workers that have just become UNREACHABLE or TERMINATED for their silence."""
    parameters = {"unreachable_after_s": unreachable_after_s, "lost_after_s": lost_after_s}
    return [(row[0], row[1], row[2]) for row in await rows(conn, SILENT, parameters)]


@dataclass(frozen=True, slots=True)
class Worker:
    id: uuid.UUID
    name: str
    state: str
    labels: dict[str, str]
    slots: int
    busy_slots: int
    heartbeat_age_s: float | None
    version: str
    current_job_id: uuid.UUID | None
    created_at: int  # microseconds since 1970
    revoked: bool
    draining: bool
    session: int


# Names and labels of rows that no door has checked (of an older release, or set by hand) are cut.
LIST = """
SELECT w.id, left(w.name, 200) AS name, w.state,
       CASE WHEN octet_length(w.labels::text) <= 40000 THEN w.labels ELSE '{}' END AS labels,
       w.slots, w.busy_slots, extract(epoch FROM clock_timestamp() - w.last_heartbeat)::float8 AS heartbeat_age_s,
       left(w.version, 200) AS version, w.current_job_id, w.created_at, w.revoked_at IS NOT NULL AS revoked,
       w.draining, w.session
FROM workers w
WHERE (%(worker)s::uuid IS NULL OR w.id = %(worker)s::uuid)
  AND (%(every)s::boolean OR w.state <> 'TERMINATED')
  AND (%(before)s::uuid IS NULL
       OR (w.created_at, w.id) < (SELECT b.created_at, b.id FROM workers b WHERE b.id = %(before)s::uuid))
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
    limit: int = MOST,
) -> list[Worker]:
    """The newest, those older than `before`; without `every`, TERMINATED ones are left out."""
    parameters = {"worker": worker_id, "every": every, "before": before, "limit": limit}
    return [Worker(*row) for row in await rows(conn, LIST, parameters)]


# Slots taken are counted by accepted leases: heartbeats tell them up to a second late.
SUMMARY = """
SELECT w.state, count(*), sum(w.slots) FILTER (WHERE w.state IN ('READY', 'BUSY', 'DRAINING')),
       (SELECT count(*) FROM leases l WHERE l.accepted_at IS NOT NULL)
FROM workers w GROUP BY w.state
"""


class Summary(NamedTuple):
    by_state: dict[str, int]
    slots: int
    busy_slots: int


async def summary(conn: Connection) -> Summary:
    found = await rows(conn, SUMMARY)
    return Summary(
        {row[0]: row[1] for row in found},
        sum(int(r[2] or 0) for r in found),
        int(found[0][3]) if found else 0,
    )
