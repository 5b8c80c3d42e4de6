"""A worker's session: which stream may speak for it, its heartbeats, and how the stream ends.

Each change of a worker's state writes WorkerStatusChanged in the statement that makes it. Its
`old_status` and `new_status` are in PascalCase, as the queries of the on-call guide read them."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from hodei.domain.timing import KNOWN_WITHIN_S
from hodei.domain.worker import WorkerState
from hodei.store.database import Connection
from hodei.store.leases import Claimant
from hodei.store.parameters import array, arrays
from hodei.store.statements import brief_rows
from hodei.store.worker_credentials import PREVIOUS_GOOD_S
from hodei.store.workers import change


class Session(NamedTuple):
    """A worker's stream: only the newest session speaks for the worker."""

    session: int
    draining: bool
    credential_age_s: float  # since the credential in force was first used
    outdated: bool  # the worker has connected with the previous credential


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
    server_id: uuid.UUID | None = None  # of the server to which it connects
    job_user: str | None = None  # whom its jobs run as; None: it does not say
    about: Mapping[str, Any] = field(default_factory=dict)  # its host and settings, for people
    projects: Sequence[str] = ()  # whose jobs alone it takes; empty: of all


# Which credentials count: the one in force, the next one, which is in force from then on (trigger
# credential_changed), and the previous one for a while.
#
# The newest stream wins, except over another process whose stream is open and has sent a heartbeat.
CONNECT = """
WITH before AS MATERIALIZED (
    SELECT w.id, w.state,
           coalesce(w.next_credential_sha256 = %(credential)s, false) AS renewed
    FROM workers w
    WHERE w.id = %(worker)s
      AND (w.credential_sha256 = %(credential)s
           OR w.next_credential_sha256 = %(credential)s
           OR (w.previous_credential_sha256 = %(credential)s
               AND w.credential_since
                   > clock_timestamp() - make_interval(secs => %(previous_good_s)s)))
      AND w.revoked_at IS NULL
      AND (NOT w.connected
           OR w.instance = %(instance)s
           OR w.last_heartbeat < clock_timestamp() - make_interval(secs => %(beating_within_s)s))
    FOR UPDATE
), connected AS (
    UPDATE workers w
    SET session = w.session + 1,
        credential_sha256 = CASE
            WHEN b.renewed THEN w.next_credential_sha256
            ELSE w.credential_sha256
        END,
        instance = %(instance)s,
        connected = true,
        name = %(name)s,
        version = %(version)s,
        slots = %(slots)s,
        busy_slots = %(busy)s,
        labels = %(labels)s,
        server_id = %(server)s::uuid,
        job_user = %(job_user)s::text,
        about = %(about)s::jsonb,
        projects = %(projects)s::text[],
        connected_at = clock_timestamp(),
        last_heartbeat = clock_timestamp(),
        updated_at = greatest(clock_timestamp(), w.updated_at + interval '2 microseconds'),
        state = CASE
            WHEN w.draining THEN 'DRAINING'
            WHEN %(busy)s::integer >= %(slots)s::integer THEN 'BUSY'
            ELSE 'READY'
        END
    FROM before b
    WHERE w.id = b.id
    RETURNING w.id, w.session, w.draining, w.state, w.updated_at, w.last_heartbeat,
              w.credential_sha256, b.state AS old_state, b.renewed,
              coalesce(w.credential_since, w.created_at) AS credential_since
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT c.updated_at, 'WorkerStatusChanged', c.id::text, c.id::text, 'worker:' || c.id, c.id,
           jsonb_build_object(
               'worker_id', c.id,
               'old_status', initcap(c.old_state),
               'new_status', initcap(c.state),
               'last_heartbeat', c.last_heartbeat,
               'session', c.session)
    FROM connected c
    WHERE c.old_state <> c.state
    UNION ALL
    SELECT c.updated_at - interval '1 microsecond', 'WorkerCredentialRenewed', c.id::text,
           c.id::text, 'worker:' || c.id, c.id,
           jsonb_build_object('worker_id', c.id, 'session', c.session)
    FROM connected c
    WHERE c.renewed
)
SELECT c.session, c.draining,
       extract(epoch FROM clock_timestamp() - c.credential_since)::float8,
       c.credential_sha256 <> %(credential)s
FROM connected c
"""


async def connect(conn: Connection, greeting: Greeting, beating_within_s: float) -> Session | None:
    """Opens a new session. None: it is refused, for what worker_credentials.why_not tells."""
    parameters = {
        "worker": greeting.worker_id,
        "credential": greeting.credential_sha256,
        "instance": greeting.instance,
        "name": greeting.name[:200],
        "version": greeting.version[:50],
        "slots": greeting.slots,
        "busy": greeting.busy_slots,
        "labels": Jsonb(greeting.labels),
        "server": greeting.server_id,
        "job_user": greeting.job_user,
        "about": Jsonb(dict(greeting.about)),
        "projects": array(greeting.projects),
        "beating_within_s": beating_within_s,
        "previous_good_s": PREVIOUS_GOOD_S,
    }
    found = await brief_rows(conn, CONNECT, parameters)
    return Session(*found[0]) if found else None


class Heartbeat(NamedTuple):
    """A worker's heartbeat. The fields are the columns of BEAT's `said`, in this order."""

    worker_id: uuid.UUID
    session: int
    busy_slots: int
    draining: bool
    current_job_id: uuid.UUID | None


# Each server gathers the heartbeats of its workers and writes them together, once a second.
BEAT = """
WITH said AS (
    SELECT *
    FROM unnest(
        %(worker_id)s::uuid[],
        %(session)s::bigint[],
        %(busy_slots)s::integer[],
        %(draining)s::boolean[],
        %(current_job_id)s::uuid[]
    ) AS s (worker_id, session, busy_slots, draining, current_job_id)
), before AS MATERIALIZED (
    SELECT w.id, w.state, s.busy_slots, s.current_job_id,
           CASE
               WHEN w.draining OR s.draining THEN 'DRAINING'
               WHEN s.busy_slots >= w.slots THEN 'BUSY'
               ELSE 'READY'
           END AS new_state
    FROM said s
    JOIN workers w ON w.id = s.worker_id AND w.session = s.session AND w.revoked_at IS NULL
    WHERE w.id = ANY (%(worker_id)s::uuid[])
    ORDER BY w.id
    FOR UPDATE OF w
), recorded AS (
    UPDATE workers w
    SET last_heartbeat = clock_timestamp(),
        busy_slots = b.busy_slots,
        current_job_id = b.current_job_id,
        state = b.new_state,
        updated_at = CASE
            WHEN b.state = b.new_state THEN w.updated_at
            ELSE greatest(clock_timestamp(), w.updated_at + interval '1 microsecond')
        END
    FROM before b
    WHERE w.id = b.id
      AND w.id = ANY (ARRAY(SELECT b.id FROM before b))
    RETURNING w.id, w.session, b.state AS old_state, w.state, w.updated_at, w.last_heartbeat
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT b.updated_at, 'WorkerStatusChanged', b.id::text, b.id::text, 'worker:' || b.id, b.id,
           jsonb_build_object(
               'worker_id', b.id,
               'old_status', initcap(b.old_state),
               'new_status', initcap(b.state),
               'last_heartbeat', b.last_heartbeat)
    FROM recorded b
    WHERE b.old_state <> b.state
)
SELECT b.id,
       EXISTS (
           SELECT
           FROM leases l
           WHERE l.worker_id = b.id
             AND l.accepted_at < clock_timestamp() - make_interval(secs => %(known_within_s)s)
             AND (l.missing_since IS NOT NULL
                  OR (l.lease, l.worker_id) NOT IN (
                      SELECT * FROM unnest(%(held)s::bigint[], %(held_by)s::uuid[]))))
FROM recorded b
"""


async def beat(
    conn: Connection, heartbeats: Sequence[Heartbeat], held: Sequence[Claimant]
) -> dict[uuid.UUID, bool]:
    """Writes heartbeats down. Returns, for each worker whose session still speaks for it, whether
    leases are missing: of those accepted KNOWN_WITHIN_S ago or earlier it did not list all in
    `held`, now or before (stray_leases.forgotten says which). A worker that is not in the answer
    has another session now, is revoked, or has no row any more."""
    listed = {
        "held": array([c.lease for c in held]),
        "held_by": array([c.worker_id for c in held]),
        "known_within_s": KNOWN_WITHIN_S,
    }
    return dict(await brief_rows(conn, BEAT, arrays(Heartbeat._fields, heartbeats) | listed))


VOUCH = """
UPDATE workers w
SET last_heartbeat = clock_timestamp()
FROM unnest(%(worker_id)s::uuid[], %(session)s::bigint[]) AS s (worker_id, session)
WHERE w.id = s.worker_id
  AND w.session = s.session
  AND w.id = ANY (%(worker_id)s::uuid[])
  AND w.revoked_at IS NULL
"""


async def vouch(conn: Connection, speaking: Sequence[tuple[uuid.UUID, int]]) -> None:
    """Writes down that workers live whose heartbeats cannot be read now. `speaking`: ids of workers
    and their sessions."""
    ids, numbers = [one for one, _ in speaking], [number for _, number in speaking]
    await brief_rows(conn, VOUCH, {"worker_id": array(ids), "session": array(numbers)})


async def leave(conn: Connection, worker_id: uuid.UUID, session: int) -> bool:
    """Ends a worker that has drained, holds nothing and closed its stream: it stopped on
    purpose. False: another session speaks for it."""
    return await change(
        conn,
        worker_id,
        f"worker:{worker_id}",
        "stopped",
        session=session,
        state=WorkerState.TERMINATED,
        connected=False,
    )


DISCONNECT = """
UPDATE workers
SET connected = false
WHERE id = %(worker)s::uuid
  AND session = %(session)s::bigint
"""


async def disconnect(conn: Connection, worker_id: uuid.UUID, session: int) -> None:
    """Notes that the stream ended. The worker keeps its leases and may come back to any server."""
    await brief_rows(conn, DISCONNECT, {"worker": worker_id, "session": session})
