"""Workers of which no heartbeat has come for too long."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.timing import LISTENING_GAP_S
from hodei.domain.worker import WorkerState
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import rows

# Silence counts by the database's clock, from the later of the last heartbeat and listening_since
# (docs/architecture.md, rule 6). The session of a lost worker ends: a stream that it still has is
# refused until it connects anew.
SILENT = """
WITH silent AS MATERIALIZED (
    SELECT w.id, w.state, w.last_heartbeat,
           greatest(w.last_heartbeat, h.listening_since)
               < clock_timestamp() - make_interval(secs => %(lost_after_s)s) AS lost
    FROM workers w
    CROSS JOIN hodei_listening h
    WHERE w.state NOT IN ('TERMINATED', 'REGISTERING')
      AND h.last_beat > clock_timestamp() - make_interval(secs => %(gap_s)s)
      AND greatest(w.last_heartbeat, h.listening_since)
          < clock_timestamp() - make_interval(secs => %(unreachable_after_s)s)
      AND w.id <> ALL (%(spared)s::uuid[])
    ORDER BY w.id
    LIMIT 500
    FOR UPDATE OF w SKIP LOCKED
), changed AS (
    UPDATE workers w
    SET state = CASE WHEN s.lost THEN 'TERMINATED' ELSE 'UNREACHABLE' END,
        session = CASE WHEN w.session < 9e18 THEN w.session + s.lost::integer ELSE w.session END,
        connected = w.connected AND NOT s.lost,
        updated_at = CASE WHEN w.updated_at < clock_timestamp() + interval '1 year'
            THEN greatest(clock_timestamp(), w.updated_at + interval '1 microsecond')
            ELSE clock_timestamp() END
    FROM silent s
    WHERE w.id = s.id
      AND (s.lost OR s.state <> 'UNREACHABLE')
    RETURNING w.id, w.state, w.updated_at, s.state AS old_state, s.last_heartbeat
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT c.updated_at, 'WorkerStatusChanged', c.id::text, c.id::text, 'system:worker_monitor',
           c.id,
           jsonb_build_object(
               'worker_id', c.id,
               'old_status', initcap(c.old_state),
               'new_status', initcap(c.state),
               'last_heartbeat', c.last_heartbeat,
               'reason', 'silent')
    FROM changed c
)
SELECT c.id, c.state, c.last_heartbeat
FROM changed c
"""


class Silent(NamedTuple):
    """A worker that has just become UNREACHABLE or TERMINATED for its silence."""

    worker_id: uuid.UUID
    state: WorkerState
    last_heartbeat: int | None  # microseconds since 1970


async def judge_silent(
    conn: Connection,
    unreachable_after_s: float,
    lost_after_s: float,
    spared: Sequence[uuid.UUID] = (),
) -> list[Silent]:
    """Makes workers UNREACHABLE or TERMINATED that have been silent for as long, 500 at most, and
    returns them. Not those of `spared`, nor those whose rows are locked."""
    parameters = {
        "unreachable_after_s": unreachable_after_s,
        "lost_after_s": lost_after_s,
        "gap_s": LISTENING_GAP_S,
        "spared": array(spared),
    }
    found = await rows(conn, SILENT, parameters)
    return [Silent(worker_id, WorkerState(state), at) for worker_id, state, at in found]


LOCKED = """
WITH silent AS MATERIALIZED (
    SELECT w.id
    FROM workers w
    WHERE w.state NOT IN ('TERMINATED', 'REGISTERING')
      AND w.last_heartbeat < clock_timestamp() - make_interval(secs => %(unreachable_after_s)s)
), free AS MATERIALIZED (
    SELECT w.id
    FROM workers w
    WHERE w.id = ANY (ARRAY(SELECT s.id FROM silent s))
    FOR UPDATE SKIP LOCKED
)
SELECT s.id
FROM silent s
WHERE s.id NOT IN (SELECT f.id FROM free f)
"""


async def locked(conn: Connection, unreachable_after_s: float) -> list[uuid.UUID]:
    """Returns the workers that have been silent for as long and whose rows somebody's transaction has
    locked: their heartbeats cannot be written."""
    found = await rows(conn, LOCKED, {"unreachable_after_s": unreachable_after_s})
    return [row[0] for row in found]
