"""The sweep's look: one statement a second and server that says that this server listens, and asks
whether anything is to be done."""

from dataclasses import dataclass

from hodei.store.database import Connection
from hodei.store.statements import rows

BEAT_EVERY_S = 5.0
"""Between two beats into hodei_listening, of whichever server comes first."""


@dataclass(frozen=True)
class Attention:
    """What a sweep finds to do."""

    ready: bool
    due: bool
    unseen: bool
    expired: bool
    overrun: bool
    overdue_offers: bool
    silent_workers: bool
    orphaned_leases: bool


EVERYTHING = Attention(*[True] * 8)

# What is due is asked by the statement's own time, which an index can be entered by:
# clock_timestamp() may differ from row to row, and all that is not due would be walked. A gap of
# over 15 s restarts listening_since: nobody was there to hear, or the clock was set forward. If it
# was set back, times that lie ahead would keep a silent worker or a stale offer for as long: they
# are brought to now.
LOOK = """
WITH ahead AS MATERIALIZED (
    SELECT FROM hodei_listening h WHERE h.last_beat > clock_timestamp() + interval '15 seconds'
), offers AS (
    UPDATE leases l SET accept_by = clock_timestamp() + interval '10 seconds'
    WHERE EXISTS (SELECT FROM ahead) AND l.accept_by > clock_timestamp() + interval '10 seconds'
), heartbeats AS (
    UPDATE workers w SET last_heartbeat = clock_timestamp() WHERE EXISTS (SELECT FROM ahead) AND w.last_heartbeat > clock_timestamp()
), beaten AS (
    UPDATE hodei_listening h
    SET listening_since = CASE WHEN abs(extract(epoch FROM clock_timestamp() - h.last_beat)) > 15 THEN clock_timestamp()
                               ELSE h.listening_since END,
        last_beat = clock_timestamp()
    WHERE abs(extract(epoch FROM clock_timestamp() - h.last_beat)) > %(beat_every_s)s
), begun AS (
    INSERT INTO hodei_listening (listening_since, last_beat)
    SELECT clock_timestamp(), clock_timestamp() WHERE NOT EXISTS (SELECT FROM hodei_listening)
    ON CONFLICT (only_row) DO NOTHING
)
SELECT EXISTS (SELECT FROM job_queue WHERE waiting IS NULL),
       EXISTS (SELECT FROM job_queue WHERE waiting IS NOT NULL AND ready_at <= statement_timestamp()),
       EXISTS (SELECT FROM job_queue WHERE unseen_ms IS NOT NULL),
       EXISTS (SELECT FROM job_queue WHERE expires_at <= statement_timestamp()),
       EXISTS (SELECT FROM leases l
               WHERE l.end_by < clock_timestamp() OR l.start_by < clock_timestamp()
                  OR extract(epoch FROM clock_timestamp())::float8
                     - extract(epoch FROM coalesce(l.log_at, l.accepted_at))::float8 > l.silence_s + %(margin_s)s),
       EXISTS (SELECT FROM leases WHERE accepted_at IS NULL AND accept_by < clock_timestamp()),
       EXISTS (SELECT FROM workers w
               WHERE w.state NOT IN ('TERMINATED', 'REGISTERING')
                 AND w.last_heartbeat < clock_timestamp() - make_interval(secs => %(unreachable_after_s)s)),
       EXISTS (SELECT FROM leases l LEFT JOIN workers w ON w.id = l.worker_id WHERE w.id IS NULL OR w.state = 'TERMINATED')
"""


async def look(conn: Connection, unreachable_after_s: float, margin_s: float) -> Attention:
    parameters = {
        "unreachable_after_s": unreachable_after_s,
        "margin_s": margin_s,
        "beat_every_s": BEAT_EVERY_S,
    }
    return Attention(*(await rows(conn, LOOK, parameters))[0])
