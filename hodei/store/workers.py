"""Workers: their credential's hash, whose stream speaks for them (the session), and how long they
have been silent.

Each change of state writes WorkerStatusChanged in its statement; its names are in PascalCase, as
the guide's queries read them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from psycopg.types.json import Jsonb

from hodei.store.database import Connection, array, arrays, brief_rows, rows
from hodei.store.leases import Claimant


class Session(NamedTuple):
    """A worker's stream: only the newest session speaks for the worker."""

    session: int
    draining: bool


@dataclass(frozen=True)
class Greeting:
    """What a worker says of itself when it connects."""

    worker_id: uuid.UUID
    credential_sha256: bytes
    instance: uuid.UUID
    name: str
    version: str
    slots: int
    busy_slots: int
    labels: dict[str, str]
    server_id: uuid.UUID | None = None  # of the server that it connects to
    job_user: str | None = None  # whom its jobs run as; None: it does not say


# The newest stream wins, except over another process whose stream is open and beating.
CONNECT = """
WITH before AS MATERIALIZED (
    SELECT w.id, w.state
    FROM workers w
    WHERE w.id = %(worker)s AND w.credential_sha256 = %(credential)s AND w.revoked_at IS NULL
      AND (NOT w.connected OR w.instance = %(instance)s
           OR w.last_heartbeat < clock_timestamp() - make_interval(secs => %(beating_within_s)s))
    FOR UPDATE
), connected AS (
    UPDATE workers w
    SET session = w.session + 1, instance = %(instance)s, connected = true, name = %(name)s, version = %(version)s, slots = %(slots)s,
        busy_slots = %(busy)s, labels = %(labels)s, server_id = %(server)s::uuid, job_user = %(job_user)s::text,
        last_heartbeat = clock_timestamp(),
        updated_at = greatest(clock_timestamp(), w.updated_at + interval '1 microsecond'),
        state = CASE WHEN w.draining THEN 'DRAINING' WHEN %(busy)s::integer >= %(slots)s::integer THEN 'BUSY' ELSE 'READY' END
    FROM before b
    WHERE w.id = b.id
    RETURNING w.id, w.session, w.draining, w.state, w.updated_at, w.last_heartbeat, b.state AS old_state
), story AS (
    INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT c.updated_at, 'WorkerStatusChanged', c.id::text, c.id::text, 'worker:' || c.id, c.id,
           jsonb_build_object('worker_id', c.id, 'old_status', initcap(c.old_state), 'new_status', initcap(c.state),
                              'last_heartbeat', c.last_heartbeat, 'session', c.session)
    FROM connected c
    WHERE c.old_state <> c.state
)
SELECT c.session, c.draining FROM connected c
"""


async def connect(conn: Connection, who: Greeting, beating_within_s: float) -> Session | None:
    """Opens a new session. None: no such credential, or another process holds the stream (see
    is_known)."""
    found = await rows(
        conn,
        CONNECT,
        {
            "worker": who.worker_id,
            "credential": who.credential_sha256,
            "instance": who.instance,
            "name": who.name[:200],
            "version": who.version[:50],
            "slots": who.slots,
            "busy": who.busy_slots,
            "labels": Jsonb(who.labels),
            "server": who.server_id,
            "job_user": who.job_user,
            "beating_within_s": beating_within_s,
        },
    )
    return Session(*found[0]) if found else None


IS_KNOWN = """
SELECT FROM workers w WHERE w.id = %(worker)s AND w.credential_sha256 = %(credential)s AND w.revoked_at IS NULL
"""


async def is_known(conn: Connection, worker_id: uuid.UUID, credential_sha256: bytes) -> bool:
    return bool(await rows(conn, IS_KNOWN, {"worker": worker_id, "credential": credential_sha256}))


class Heartbeat(NamedTuple):
    """Columns of BEAT's `said`, in this order."""

    worker_id: uuid.UUID
    session: int
    busy_slots: int
    draining: bool
    current_job_id: uuid.UUID | None


# One row per worker, gathered and flushed together each second.
BEAT = """
WITH said AS (
    SELECT * FROM unnest(%(worker_id)s::uuid[], %(session)s::bigint[], %(busy_slots)s::integer[], %(draining)s::boolean[],
                         %(current_job_id)s::uuid[]) AS s (worker_id, session, busy_slots, draining, current_job_id)
), before AS MATERIALIZED (
    SELECT w.id, w.state, s.busy_slots, s.current_job_id,
           CASE WHEN w.draining OR s.draining THEN 'DRAINING' WHEN s.busy_slots >= w.slots THEN 'BUSY' ELSE 'READY' END AS new_state
    FROM said s JOIN workers w ON w.id = s.worker_id AND w.session = s.session AND w.revoked_at IS NULL
    WHERE w.id = ANY (%(worker_id)s::uuid[])
    ORDER BY w.id
    FOR UPDATE OF w
), beaten AS (
    UPDATE workers w
    SET last_heartbeat = clock_timestamp(), busy_slots = b.busy_slots, current_job_id = b.current_job_id, state = b.new_state,
        updated_at = CASE WHEN b.state = b.new_state THEN w.updated_at
                          ELSE greatest(clock_timestamp(), w.updated_at + interval '1 microsecond') END
    FROM before b
    WHERE w.id = b.id AND w.id = ANY (ARRAY(SELECT b.id FROM before b))
    RETURNING w.id, w.session, b.state AS old_state, w.state, w.updated_at, w.last_heartbeat
), story AS (
    INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT b.updated_at, 'WorkerStatusChanged', b.id::text, b.id::text, 'worker:' || b.id, b.id,
           jsonb_build_object('worker_id', b.id, 'old_status', initcap(b.old_state), 'new_status', initcap(b.state),
                              'last_heartbeat', b.last_heartbeat)
    FROM beaten b
    WHERE b.old_state <> b.state
)
SELECT b.id, EXISTS (SELECT FROM leases l
                     WHERE l.worker_id = b.id AND l.accepted_at < clock_timestamp() - interval '15 seconds'
                       AND (l.missing_since IS NOT NULL OR (l.lease, l.worker_id) NOT IN (
                            SELECT * FROM unnest(%(held)s::bigint[], %(held_by)s::uuid[]))))
FROM beaten b
"""


async def beat(
    conn: Connection, said: Sequence[Heartbeat], held: Sequence[Claimant]
) -> dict[uuid.UUID, bool]:
    """The workers whose session still speaks for them; any other has been superseded, revoked or
    cleaned away. True: of the leases that it should know, it did not list all in `held`
    (stray_leases.forgotten says which)."""
    listed = {"held": array([c.lease for c in held]), "held_by": array([c.worker_id for c in held])}
    return dict(await brief_rows(conn, BEAT, arrays(Heartbeat._fields, said) | listed))


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


async def _change(
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
    return await _change(conn, worker_id, actor, "drain asked for", state="DRAINING", draining=True)


async def undrain(conn: Connection, worker_id: uuid.UUID, actor: str) -> bool:
    return await _change(conn, worker_id, actor, "drain taken back", draining=False)


async def revoke(conn: Connection, worker_id: uuid.UUID, actor: str) -> bool:
    """Ends its credential: its stream is closed and its jobs are given away."""
    return await _change(
        conn,
        worker_id,
        actor,
        "credential revoked",
        state="TERMINATED",
        connected=False,
        revoked=True,
    )


async def leave(conn: Connection, worker_id: uuid.UUID, session: int) -> bool:
    """It drained, holds nothing and closed its stream: stopped on purpose."""
    return await _change(
        conn,
        worker_id,
        f"worker:{worker_id}",
        "stopped",
        session=session,
        state="TERMINATED",
        connected=False,
    )


DISCONNECT = "UPDATE workers SET connected = false WHERE id = %(worker)s::uuid AND session = %(session)s::bigint"


async def disconnect(conn: Connection, worker_id: uuid.UUID, session: int) -> None:
    """The stream ended; the worker keeps its leases and may come back to any server."""
    await brief_rows(conn, DISCONNECT, {"worker": worker_id, "session": session})


# Silence counts by the database's clock from the later of last contact and listening_since (rule 6).
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
    job_user: str | None


# Names and labels of rows that no door has checked (of an older release, or set by hand) are cut.
LIST = """
SELECT w.id, left(w.name, 200) AS name, w.state,
       CASE WHEN octet_length(w.labels::text) <= 40000 THEN w.labels ELSE '{}' END AS labels,
       w.slots, w.busy_slots, extract(epoch FROM clock_timestamp() - w.last_heartbeat)::float8 AS heartbeat_age_s,
       left(w.version, 200) AS version, w.current_job_id, w.created_at, w.revoked_at IS NOT NULL AS revoked,
       w.draining, w.session, left(w.job_user, 200) AS job_user
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


# Of workers that may have jobs now.
AS_ROOT = """
SELECT count(*), (array_agg(left(w.name, 200) ORDER BY w.name, w.id))[:10]
FROM workers w
WHERE w.job_user = 'root' AND w.state IN ('READY', 'BUSY', 'DRAINING', 'UNREACHABLE')
"""


async def as_root(conn: Connection) -> tuple[int, list[str]]:
    """How many workers run their jobs as root, and the names of the first ten."""
    ((number, names),) = await rows(conn, AS_ROOT)
    return number, names or []


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
