"""Results: how attempts ended, and by which policy a job then ends or runs again."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.job import MAX_LONE_LOSSES, MAX_LOSSES
from hodei.store import accepts
from hodei.store.accepts import Accepted
from hodei.store.database import Connection
from hodei.store.leases import Claimant
from hodei.store.parameters import arrays
from hodei.store.statements import Call, guarded_rows


class Result(NamedTuple):
    """A worker's last word about a lease (or a sweep's, in its place). Columns of RESULT's `said`,
    in this order."""

    lease: int
    worker_id: uuid.UUID
    outcome: str  # SUCCEEDED FAILED CANCELLED LOST
    actor: str
    ran: bool  # a slot took it: it counts as an attempt
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    run_us: int = 0
    peak_memory_bytes: int = 0
    cpu_us: int = 0
    log_chunks: int = 0  # -1: nobody can say any more
    log_bytes: int = 0
    log_dropped_bytes: int = 0
    leftover_processes: int = 0


class Ended(NamedTuple):
    lease: int
    job_id: uuid.UUID
    old_state: str
    new_state: str
    reason: str | None
    worker_id: uuid.UUID
    correlation_id: str
    actor: str
    ran_unaccepted: bool  # RUNNING was written together with the end


# The policy of what runs again stands here once, in the CASEs of `held` (docs/architecture.md). A
# job whose accept has not been written yet gets RUNNING and its end in one row update, both events
# included. `retries` counts the job's own failures: back-off 1 s, doubled each time up to 5 min, ±
# 25 %. A lost attempt runs again after 10 s, doubled each time up to 10 min. A loss is a lone one
# where that worker had no other job and has lost none within the last 5 s: three of them end the
# job, as ten losses in all do.
RESULT = """
WITH said AS (
    SELECT * FROM unnest(
        %(lease)s::bigint[], %(worker_id)s::uuid[], %(outcome)s::text[], %(actor)s::text[], %(ran)s::boolean[], %(reason)s::text[],
        %(message)s::text[], %(exit_code)s::integer[], %(signal)s::integer[], %(run_us)s::bigint[], %(peak_memory_bytes)s::bigint[],
        %(cpu_us)s::bigint[], %(log_chunks)s::bigint[], %(log_bytes)s::bigint[], %(log_dropped_bytes)s::bigint[],
        %(leftover_processes)s::integer[]
    ) AS s (lease, worker_id, outcome, actor, ran, reason, message, exit_code, signal, run_us, peak_memory_bytes, cpu_us, log_chunks,
            log_bytes, log_dropped_bytes, leftover_processes)
), told AS MATERIALIZED (
    SELECT s.*, l.job_id, l.log_seq = s.log_chunks AS logs_complete, l.log_bytes AS stored_bytes
    FROM said s JOIN leases l ON l.lease = s.lease AND l.worker_id IS NOT DISTINCT FROM s.worker_id
    WHERE l.lease = ANY (%(lease)s::bigint[])
), judged AS MATERIALIZED (
    SELECT t.*, t.outcome = 'LOST' AND CASE WHEN t.outcome = 'LOST' THEN
               (SELECT count(*) FROM (
                    SELECT FROM leases o
                    WHERE o.worker_id = t.worker_id AND o.accepted_at IS NOT NULL AND o.lease <> t.lease LIMIT 1) others) = 0
               AND (SELECT count(*) FROM workers w
                    WHERE w.id = t.worker_id AND w.lost_at > clock_timestamp() - interval '5 seconds') = 0
           END AS lone
    FROM told t
), held AS MATERIALIZED (
    SELECT s.*, j.id, j.state AS old_state, j.correlation_id, j.updated_at AS last_event_at,
           j.state = 'PENDING' AND s.ran AS ran_unaccepted,
           greatest(clock_timestamp(), j.updated_at + interval '2 microseconds') AS ended_at,
           CASE WHEN s.outcome = 'LOST' AND j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
                WHEN s.outcome = 'LOST' AND (s.lone AND j.lone_losses + 1 >= %(max_lone_losses)s OR j.losses + 1 >= %(max_losses)s
                     OR j.spec ->> 'on_lost' = 'fail') THEN 'FAILED'
                WHEN s.outcome = 'LOST' THEN 'PENDING'
                WHEN s.outcome = 'FAILED' AND j.cancel_requested_at IS NULL
                     AND j.failures < coalesce(j.retries, 0)
                     AND (s.exit_code IS NULL OR NOT coalesce(j.spec -> 'final_exit_codes', '[]') @> to_jsonb(s.exit_code)) THEN 'PENDING'
                ELSE s.outcome
           END AS new_state,
           CASE WHEN s.outcome = 'LOST' AND j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
                WHEN s.outcome = 'LOST' AND (s.lone AND j.lone_losses + 1 >= %(max_lone_losses)s OR j.losses + 1 >= %(max_losses)s)
                     THEN 'QUARANTINED'
                WHEN s.outcome = 'LOST' THEN 'WORKER_LOST'
                ELSE s.reason
           END AS why
    FROM judged s JOIN jobs j ON j.id = s.job_id AND j.lease = s.lease
    WHERE j.id = ANY (ARRAY(SELECT t.job_id FROM told t))
    ORDER BY j.id
    FOR UPDATE OF j
), ended AS (
    UPDATE jobs j
    SET state = h.new_state,
        lease = NULL,
        attempts = j.attempts + h.ran_unaccepted::integer,
        failures = j.failures + (h.outcome = 'FAILED')::integer,
        losses = j.losses + (h.outcome = 'LOST')::integer,
        lone_losses = j.lone_losses + h.lone::integer,
        started_at = CASE WHEN h.ran_unaccepted THEN greatest(h.last_event_at + interval '1 microsecond',
            least(h.ended_at - interval '1 microsecond', h.ended_at - h.run_us * interval '1 microsecond')) ELSE j.started_at END,
        updated_at = CASE WHEN h.new_state = 'PENDING' THEN h.ended_at + interval '1 microsecond' ELSE h.ended_at END,
        completed_at = CASE WHEN h.new_state <> 'PENDING' THEN h.ended_at END,
        reason = CASE WHEN h.new_state <> 'PENDING' THEN h.why END,
        message = CASE WHEN h.new_state <> 'PENDING' THEN left(h.message, 2000) END,
        exit_code = h.exit_code,
        signal = h.signal,
        peak_memory_bytes = nullif(h.peak_memory_bytes, 0),
        cpu_us = h.cpu_us,
        log_bytes = CASE WHEN h.log_chunks < 0 THEN h.stored_bytes ELSE h.log_bytes END,
        log_dropped_bytes = h.log_dropped_bytes,
        logs_complete = h.logs_complete,
        leftover_processes = h.leftover_processes
    FROM held h
    WHERE j.id = h.id AND j.id = ANY (ARRAY(SELECT h.id FROM held h)) AND j.lease = h.lease
    RETURNING j.id, j.started_at, j.attempts, j.failures, j.priority, j.spec, j.queue_timeout_ms, j.losses, h.lease, h.worker_id,
              h.old_state, h.new_state,
              h.why, h.message, h.actor, h.correlation_id, h.ended_at, h.ran_unaccepted, h.outcome, h.exit_code, h.signal,
              h.logs_complete, h.leftover_processes
), unleased AS (
    DELETE FROM leases l WHERE l.lease = ANY (ARRAY(SELECT e.lease FROM ended e))
), requeued AS (
    INSERT INTO job_queue (job_id, priority, enqueued_at, labels, waiting, ready_at, expires_at)
    SELECT e.id, e.priority, e.ended_at, coalesce(e.spec -> 'labels', '{}'), 'BACKOFF', b.until,
           b.until + e.queue_timeout_ms * interval '1 millisecond'
    FROM ended e
    CROSS JOIN LATERAL (
        SELECT e.ended_at + (0.75 + random() / 2) * interval '1 second'
               * CASE WHEN e.outcome = 'FAILED' THEN least(power(2, least(e.failures - 1, 20)), 300)
                      ELSE least(10 * power(2, least(e.losses - 1, 20)), 600) END AS until
    ) b
    WHERE e.new_state = 'PENDING'
    RETURNING job_id, ready_at
), losing AS MATERIALIZED (
    SELECT w.id
    FROM workers w
    WHERE w.id = ANY (ARRAY(SELECT e.worker_id FROM ended e WHERE e.outcome = 'LOST'))
    ORDER BY w.id
    FOR UPDATE OF w
), marked AS (
    UPDATE workers w
    SET lost_at = clock_timestamp()
    FROM losing l
    WHERE w.id = l.id AND w.id = ANY (ARRAY(SELECT l.id FROM losing l))
), story AS (
    INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT e.started_at, 'JobStatusChanged', e.id::text, e.correlation_id, 'worker:' || e.worker_id, e.worker_id,
           jsonb_build_object('job_id', e.id, 'worker_id', e.worker_id, 'old_state', 'PENDING', 'new_state', 'RUNNING', 'success', true,
                              'lease', e.lease, 'attempt', e.attempts)
    FROM ended e
    WHERE e.ran_unaccepted
    UNION ALL
    SELECT e.ended_at, 'JobStatusChanged', e.id::text, e.correlation_id, e.actor, e.worker_id,
           jsonb_strip_nulls(jsonb_build_object(
               'job_id', e.id, 'worker_id', e.worker_id,
               'old_state', CASE WHEN e.ran_unaccepted THEN 'RUNNING' ELSE e.old_state END, 'new_state', e.new_state,
               'lease', e.lease, 'attempt', e.attempts, 'reason', e.why, 'message', e.message, 'exit_code', e.exit_code,
               'signal', e.signal, 'logs_complete', e.logs_complete, 'leftover_processes', nullif(e.leftover_processes, 0)))
    FROM ended e
    UNION ALL
    SELECT e.ended_at + interval '1 microsecond', 'JobRetried', e.id::text, e.correlation_id, e.actor, e.worker_id,
           jsonb_strip_nulls(jsonb_build_object('job_id', e.id, 'reason', e.why, 'failures', e.failures, 'losses', e.losses,
                                                'not_before', q.ready_at))
    FROM ended e JOIN requeued q ON q.job_id = e.id
)
SELECT e.lease, e.id, e.old_state, e.new_state, e.why, e.worker_id, e.correlation_id, e.actor, e.ran_unaccepted
FROM ended e
"""


def _result(said: Sequence[Result]) -> Call:
    return RESULT, arrays(Result._fields, said) | {
        "max_losses": MAX_LOSSES,
        "max_lone_losses": MAX_LONE_LOSSES,
    }


async def record_results(conn: Connection, said: Sequence[Result]) -> list[Ended]:
    """Ends attempts: final, or PENDING again by policy. A lease that is not in the answer is stale
    and nothing was written for it."""
    (found,) = await guarded_rows(conn, _result(said))
    return [Ended(*row[:9]) for row in found]


async def settle(
    conn: Connection, results: Sequence[Result], offered: Sequence[Claimant]
) -> tuple[list[Ended], dict[Claimant, Accepted]]:
    """Both in one transaction and one round trip, results first: one that overtook its own accept
    writes RUNNING too."""
    if not offered:
        return await record_results(conn, results), {}
    if not results:
        return [], await accepts.accept(conn, offered)
    ended, held = await guarded_rows(conn, _result(results), accepts.accepting(offered))
    return [Ended(*row[:9]) for row in ended], accepts.accepted(held)
