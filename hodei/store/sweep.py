"""The sweep's look: one statement, once a second for each server. It records that this server
listens, and reports which sweeps have work."""

from dataclasses import dataclass
from typing import LiteralString

from hodei.domain.timing import ACCEPT_WITHIN_S, LISTENING_GAP_S
from hodei.store.database import Connection
from hodei.store.statements import rows

BEAT_EVERY_S = 5.0
"""Time between two beats into hodei_listening, in seconds: the first server to look after it beats
for all."""


@dataclass(frozen=True)
class Attention:
    """Which sweeps have work (FINDS)."""

    ready: bool
    due: bool
    unseen: bool
    unfiled: bool
    expired: bool
    overrun: bool
    overdue_offers: bool
    silent_workers: bool
    orphaned_leases: bool


EVERYTHING = Attention(*[True] * 9)

# What is due is compared with the statement's own time, by which an index can be entered:
# clock_timestamp() may differ from row to row, and all that is not due would be walked.
#
# After a gap of over LISTENING_GAP_S listening_since begins anew: nobody was there to listen, or
# the clock was set forward. So does one that lies ahead: before it no sweep would judge anybody. If
# the clock was set back, times that lie ahead would keep a silent worker or a stale offer for as
# long: they are brought to now. A row that somebody has locked is left to the next look: sweeps
# would wait for it.
LISTEN = """
WITH ahead AS MATERIALIZED (
    SELECT
    FROM hodei_listening h
    WHERE h.last_beat > clock_timestamp() + make_interval(secs => %(gap_s)s)
), offers AS (
    UPDATE leases l
    SET accept_by = clock_timestamp() + make_interval(secs => %(accept_within_s)s)
    WHERE l.lease = ANY (ARRAY(
        SELECT o.lease
        FROM leases o
        WHERE EXISTS (SELECT FROM ahead)
          AND o.accept_by > clock_timestamp() + make_interval(secs => %(accept_within_s)s)
        FOR UPDATE SKIP LOCKED))
), heartbeats AS (
    UPDATE workers w
    SET last_heartbeat = clock_timestamp()
    WHERE w.id = ANY (ARRAY(
        SELECT v.id
        FROM workers v
        WHERE EXISTS (SELECT FROM ahead)
          AND v.last_heartbeat > clock_timestamp()
        FOR UPDATE SKIP LOCKED))
), recorded AS (
    UPDATE hodei_listening h
    SET listening_since = CASE
            WHEN h.last_beat NOT BETWEEN clock_timestamp() - make_interval(secs => %(gap_s)s)
                                     AND clock_timestamp() + make_interval(secs => %(gap_s)s)
              OR h.listening_since > clock_timestamp()
                THEN clock_timestamp()
            ELSE h.listening_since
        END,
        last_beat = clock_timestamp()
    WHERE h.only_row = ANY (ARRAY(
        SELECT o.only_row
        FROM hodei_listening o
        WHERE o.last_beat NOT BETWEEN clock_timestamp() - make_interval(secs => %(beat_every_s)s)
                                  AND clock_timestamp() + make_interval(secs => %(beat_every_s)s)
           OR o.listening_since > clock_timestamp()
        FOR UPDATE SKIP LOCKED))
), begun AS (
    INSERT INTO hodei_listening (listening_since, last_beat)
    SELECT clock_timestamp(), clock_timestamp()
    WHERE NOT EXISTS (SELECT FROM hodei_listening)
    ON CONFLICT (only_row) DO NOTHING
)
"""

FINDS: dict[str, LiteralString] = {
    "ready": """
        FROM job_queue
        WHERE waiting IS NULL""",
    "due": """
        FROM job_queue
        WHERE waiting IS NOT NULL
          AND ready_at <= statement_timestamp()""",
    "unseen": """
        FROM job_queue
        WHERE unseen_ms IS NOT NULL""",
    "unfiled": """
        FROM job_queue
        WHERE project = ''""",
    "expired": """
        FROM job_queue
        WHERE expires_at <= statement_timestamp()""",
    "overrun": """
        FROM leases l
        WHERE l.end_by < clock_timestamp()
           OR l.start_by < clock_timestamp()
           OR extract(epoch FROM clock_timestamp())::float8
              - extract(epoch FROM coalesce(l.log_at, l.accepted_at))::float8
              > l.silence_s + %(margin_s)s""",
    "overdue_offers": """
        FROM leases
        WHERE accepted_at IS NULL
          AND accept_by < clock_timestamp()""",
    "silent_workers": """
        FROM workers w
        WHERE w.state NOT IN ('TERMINATED', 'REGISTERING')
          AND w.last_heartbeat
              < clock_timestamp() - make_interval(secs => %(unreachable_after_s)s)""",
    "orphaned_leases": """
        FROM leases l
        LEFT JOIN workers w ON w.id = l.worker_id
        WHERE w.id IS NULL OR w.state = 'TERMINATED'""",
}
"""Where each field of Attention looks for a row, in the order of the fields."""

LOOK = LISTEN + "SELECT " + ",\n".join("EXISTS (SELECT" + find + ")" for find in FINDS.values())


async def look(conn: Connection, unreachable_after_s: float, margin_s: float) -> Attention:
    """Records that a server listens, brings times to now where the clock was set back, and reports
    which sweeps have work."""
    parameters = {
        "unreachable_after_s": unreachable_after_s,
        "margin_s": margin_s,
        "beat_every_s": BEAT_EVERY_S,
        "gap_s": LISTENING_GAP_S,
        "accept_within_s": ACCEPT_WITHIN_S,
    }
    return Attention(**dict(zip(FINDS, (await rows(conn, LOOK, parameters))[0], strict=True)))
