"""Results: how attempts ended, and by which policy a job then ends or runs again."""

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from hodei.domain.job import MAX_LONE_LOSSES, MAX_LOSSES, STATES, JobState, Outcome, Reason
from hodei.domain.timing import LONE_WITHIN_S
from hodei.store import accepts
from hodei.store.accepts import Accepted
from hodei.store.database import Connection
from hodei.store.leases import Claimant
from hodei.store.parameters import arrays
from hodei.store.statements import Call, guarded_rows


class Result(NamedTuple):
    """How an attempt ended, as its worker reports it, or a sweep in its place. The fields are the
    columns of RESULT's `said`, in this order."""

    lease: int
    worker_id: uuid.UUID
    outcome: Outcome
    actor: str
    ran: bool  # a slot took the job: it counts as an attempt
    reason: Reason | None = None
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
    leftover_unknown: int = 0


class Ended(NamedTuple):
    """An attempt that has ended, and what its job became."""

    lease: int
    job_id: uuid.UUID
    old_state: JobState
    new_state: JobState
    reason: Reason | None
    worker_id: uuid.UUID
    correlation_id: str
    actor: str
    ran_unaccepted: bool  # RUNNING was written together with the end


UNASKED = "its worker says that it was cancelled, but nobody has asked for that"
UNLIMITED = "its worker says that a limit of time has passed, but no limit of the job can have yet"
"""Messages where the job's record does not bear a worker out: it lies, or a row was changed."""


# The policy stands in `held.verdict`, once: the first line that applies says which state the job
# gets and for which reason (docs/architecture.md, "What is run again").
#
# `alone`: a loss is a lone one where its worker had no other job and has lost none within
# LONE_WITHIN_S. `requeued`: a failure runs again after 1 s, doubled each time up to 5 min; a loss
# after 10 s, doubled each time up to 10 min; both ± 25 %.
# `unlimited`: a worker says TIMEOUT before half of the shortest limit; clocks may be set back.
#
# If a result arrives before its accept was stored, this statement writes both transitions and both
# events (`ran_unaccepted`): PENDING → RUNNING, a microsecond or more before the end.
RESULT = """
WITH said AS (
    SELECT *
    FROM unnest(
        %(lease)s::bigint[],
        %(worker_id)s::uuid[],
        %(outcome)s::text[],
        %(actor)s::text[],
        %(ran)s::boolean[],
        %(reason)s::text[],
        %(message)s::text[],
        %(exit_code)s::integer[],
        %(signal)s::integer[],
        %(run_us)s::bigint[],
        %(peak_memory_bytes)s::bigint[],
        %(cpu_us)s::bigint[],
        %(log_chunks)s::bigint[],
        %(log_bytes)s::bigint[],
        %(log_dropped_bytes)s::bigint[],
        %(leftover_processes)s::integer[],
        %(leftover_unknown)s::integer[]
    ) AS s (
        lease, worker_id, outcome, actor, ran, reason, message, exit_code, signal, run_us,
        peak_memory_bytes, cpu_us, log_chunks, log_bytes, log_dropped_bytes, leftover_processes,
        leftover_unknown)
), told AS MATERIALIZED (
    SELECT s.*, l.job_id, l.offered_at, l.log_bytes AS stored_bytes,
           l.log_seq = s.log_chunks AS logs_complete
    FROM said s
    JOIN leases l ON l.lease = s.lease AND l.worker_id IS NOT DISTINCT FROM s.worker_id
    WHERE l.lease = ANY (%(lease)s::bigint[])
), alone AS MATERIALIZED (
    SELECT t.lease
    FROM told t
    WHERE t.outcome = 'LOST'
      AND (SELECT count(*)
           FROM (SELECT
                 FROM leases o
                 WHERE o.worker_id = t.worker_id
                   AND o.accepted_at IS NOT NULL
                   AND o.lease <> t.lease
                 LIMIT 1) others) = 0
      AND (SELECT count(*)
           FROM workers w
           WHERE w.id = t.worker_id
             AND w.lost_at > clock_timestamp() - make_interval(secs => %(lone_within_s)s)) = 0
), held AS MATERIALIZED (
    SELECT c.*, j.id, j.state AS old_state, j.correlation_id, j.updated_at AS last_event_at,
           j.state = 'PENDING' AND c.ran AS ran_unaccepted,
           c.reason = 'TIMEOUT' AND starts_with(c.actor, 'worker:') AND coalesce(
               extract(epoch FROM clock_timestamp())::float8
                   - extract(epoch FROM least(c.offered_at, j.started_at, j.updated_at))::float8
               < least(j.timeout_ms, j.start_timeout_ms, j.silence_timeout_ms) / 2000.0,
               true) AS unlimited,
           greatest(clock_timestamp(), j.updated_at + interval '2 microseconds') AS ended_at,
           CASE
               WHEN c.outcome = 'LOST' AND j.cancel_requested_at IS NOT NULL
                   THEN ARRAY['CANCELLED', 'CANCELLED']
               WHEN c.outcome = 'LOST' AND c.lone AND j.lone_losses + 1 >= %(max_lone_losses)s
                   THEN ARRAY['FAILED', 'QUARANTINED']
               WHEN c.outcome = 'LOST' AND j.losses + 1 >= %(max_losses)s
                   THEN ARRAY['FAILED', 'QUARANTINED']
               WHEN c.outcome = 'LOST' AND j.spec ->> 'on_lost' = 'fail'
                   THEN ARRAY['FAILED', 'WORKER_LOST']
               WHEN c.outcome = 'LOST'
                   THEN ARRAY['PENDING', 'WORKER_LOST']
               WHEN c.outcome = 'FAILED'
                   AND j.cancel_requested_at IS NULL
                   AND j.failures < coalesce(j.retries, 0)
                   AND (c.exit_code IS NULL
                        OR NOT coalesce(j.spec -> 'final_exit_codes', '[]') @> to_jsonb(c.exit_code))
                   THEN ARRAY['PENDING', c.reason]
               WHEN c.outcome = 'CANCELLED' AND j.cancel_requested_at IS NULL
                   THEN ARRAY['FAILED', 'INTERNAL']
               ELSE ARRAY[c.outcome, c.reason]
           END AS verdict
    FROM (SELECT t.*, t.lease IN (SELECT a.lease FROM alone a) AS lone FROM told t) c
    JOIN jobs j ON j.id = c.job_id AND j.lease = c.lease
    WHERE j.id = ANY (ARRAY(SELECT t.job_id FROM told t))
    ORDER BY j.id
    FOR UPDATE OF j
), judged AS (
    SELECT h.*,
           h.verdict[1] AS new_state,
           CASE WHEN h.unlimited THEN 'INTERNAL' ELSE h.verdict[2] END AS why,
           h.verdict[1] <> 'PENDING' AS final,
           h.outcome = 'LOST' AS lost,
           h.outcome = 'FAILED' AS failed,
           CASE
               WHEN h.outcome = 'CANCELLED' AND h.verdict[1] = 'FAILED' THEN %(unasked)s::text
               WHEN h.unlimited THEN %(unlimited)s::text
               ELSE h.message
           END AS words
    FROM held h
), ended AS (
    UPDATE jobs j
    SET state = g.new_state,
        lease = NULL,
        attempts = j.attempts + g.ran_unaccepted::integer,
        failures = j.failures + g.failed::integer,
        losses = j.losses + g.lost::integer,
        lone_losses = j.lone_losses + g.lone::integer,
        started_at = CASE
            WHEN g.ran_unaccepted THEN greatest(
                g.last_event_at + interval '1 microsecond',
                g.ended_at - greatest(g.run_us, 1) * interval '1 microsecond')
            ELSE j.started_at
        END,
        updated_at = g.ended_at + (NOT g.final)::integer * interval '1 microsecond',
        completed_at = CASE WHEN g.final THEN g.ended_at END,
        reason = CASE WHEN g.final THEN g.why END,
        message = CASE WHEN g.final THEN left(g.words, 2000) END,
        exit_code = g.exit_code,
        signal = g.signal,
        peak_memory_bytes = nullif(g.peak_memory_bytes, 0),
        cpu_us = g.cpu_us,
        log_bytes = CASE WHEN g.log_chunks < 0 THEN g.stored_bytes ELSE g.log_bytes END,
        log_dropped_bytes = g.log_dropped_bytes,
        logs_complete = g.logs_complete,
        leftover_processes = g.leftover_processes,
        leftover_unknown = g.leftover_unknown
    FROM judged g
    WHERE j.id = g.id
      AND j.id = ANY (ARRAY(SELECT h.id FROM held h))
      AND j.lease = g.lease
    RETURNING j.id, j.started_at, j.attempts, j.failures, j.priority, j.spec, j.queue_timeout_ms,
              j.losses, j.project, g.lease, g.worker_id, g.old_state, g.new_state, g.why,
              g.words AS message, g.actor, g.correlation_id, g.ended_at, g.ran_unaccepted,
              g.outcome, g.exit_code, g.signal, g.logs_complete, g.leftover_processes,
              g.leftover_unknown
), unleased AS (
    DELETE FROM leases l
    WHERE l.lease = ANY (ARRAY(SELECT e.lease FROM ended e))
), requeued AS (
    INSERT INTO job_queue (
        job_id, priority, enqueued_at, labels, waiting, ready_at, expires_at, project)
    SELECT e.id, e.priority, e.ended_at, coalesce(e.spec -> 'labels', '{}'),
           'BACKOFF', b.until, b.until + e.queue_timeout_ms * interval '1 millisecond', e.project
    FROM ended e
    CROSS JOIN LATERAL (
        SELECT e.ended_at
            + (0.75 + random() / 2)
            * interval '1 second'
            * CASE
                WHEN e.outcome = 'FAILED' THEN least(power(2, least(e.failures - 1, 20)), 300)
                ELSE least(10 * power(2, least(e.losses - 1, 20)), 600)
              END AS until
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
    WHERE w.id = l.id
      AND w.id = ANY (ARRAY(SELECT l.id FROM losing l))
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT e.started_at, 'JobStatusChanged', e.id::text, e.correlation_id,
           'worker:' || e.worker_id, e.worker_id,
           jsonb_build_object(
               'job_id', e.id,
               'worker_id', e.worker_id,
               'old_state', 'PENDING',
               'new_state', 'RUNNING',
               'success', true,
               'lease', e.lease,
               'attempt', e.attempts)
    FROM ended e
    WHERE e.ran_unaccepted
    UNION ALL
    SELECT e.ended_at, 'JobStatusChanged', e.id::text, e.correlation_id, e.actor, e.worker_id,
           jsonb_strip_nulls(jsonb_build_object(
               'job_id', e.id,
               'worker_id', e.worker_id,
               'old_state', CASE WHEN e.ran_unaccepted THEN 'RUNNING' ELSE e.old_state END,
               'new_state', e.new_state,
               'lease', e.lease,
               'attempt', e.attempts,
               'reason', e.why,
               'message', e.message,
               'exit_code', e.exit_code,
               'signal', e.signal,
               'logs_complete', e.logs_complete,
               'leftover_processes', nullif(e.leftover_processes, 0),
               'leftover_unknown', nullif(e.leftover_unknown, 0)))
    FROM ended e
    UNION ALL
    SELECT e.ended_at + interval '1 microsecond', 'JobRetried', e.id::text, e.correlation_id,
           e.actor, e.worker_id,
           jsonb_strip_nulls(jsonb_build_object(
               'job_id', e.id,
               'reason', e.why,
               'failures', e.failures,
               'losses', e.losses,
               'not_before', q.ready_at))
    FROM ended e
    JOIN requeued q ON q.job_id = e.id
)
SELECT e.lease, e.id, e.old_state, e.new_state, e.why, e.worker_id, e.correlation_id, e.actor,
       e.ran_unaccepted
FROM ended e
"""


def recording(results: Sequence[Result]) -> Call:
    """The results as a call; `ended` reads its answer."""
    bounds = {
        "max_losses": MAX_LOSSES,
        "max_lone_losses": MAX_LONE_LOSSES,
        "lone_within_s": LONE_WITHIN_S,
        "unasked": UNASKED,
        "unlimited": UNLIMITED,
    }
    return RESULT, arrays(Result._fields, results) | bounds


def ended(found: Sequence[tuple[Any, ...]]) -> list[Ended]:
    return [
        Ended(lease, job, STATES[old], STATES[new], Reason(why) if why else None, *rest)
        for lease, job, old, new, why, *rest in found
    ]


async def record_results(conn: Connection, results: Sequence[Result]) -> list[Ended]:
    """Ends attempts: their jobs become final, or PENDING again by policy. A result whose lease is
    not in the answer is late, and nothing was written for it (late_results.py)."""
    return ended((await guarded_rows(conn, recording(results)))[0])


async def settle(
    conn: Connection, results: Sequence[Result], accepting: Sequence[Claimant]
) -> tuple[list[Ended], dict[Claimant, Accepted]]:
    """Records results and accepts in one transaction and one round trip. Results come first: where
    both are there for a lease the result writes RUNNING too, and its accept is missing from the
    answer.

    What follows from an end for other jobs (a slot is free, a job is no longer blocked) is a call
    more in this pipeline, never a part of RESULT."""
    if not accepting:
        return await record_results(conn, results), {}
    if not results:
        return [], await accepts.accept(conn, accepting)
    ends, held = await guarded_rows(conn, recording(results), accepts.accepting(accepting))
    return ended(ends), accepts.accepted(held)
