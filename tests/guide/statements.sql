-- Every SQL statement of the user's guide, once each, word for word; what stands in the guide for an id or a workflow stands here too.

-- name: recent_jobs_pane
SELECT id, state, attempts, created_at FROM jobs ORDER BY created_at DESC LIMIT 5;

-- name: workers_pane
SELECT id, state, last_heartbeat FROM workers;

-- name: queue_pane
SELECT COUNT(*) as queued_jobs FROM job_queue;

-- name: step_2_created
SELECT id, state, spec->'command' as command, created_at
FROM jobs
WHERE id = '$JOB_ID';

-- name: step_3_enqueued
SELECT jq.job_id, jq.enqueued_at, j.state
FROM job_queue jq
JOIN jobs j ON jq.job_id = j.id
WHERE jq.job_id = '$JOB_ID';

-- name: step_4_ready_workers
SELECT id, state, last_heartbeat,
       EXTRACT(EPOCH FROM (now() - last_heartbeat)) as seconds_since_heartbeat
FROM workers
WHERE state = 'READY' AND last_heartbeat > now() - interval '30 seconds';

-- name: step_5_events
SELECT occurred_at, event_type, payload
FROM job_events
WHERE job_id = '$JOB_ID'
ORDER BY occurred_at ASC;

-- name: debug_job_state
SELECT 'ID: ' || id || ' | Estado: ' || state || ' | Intentos: ' || attempts
FROM jobs WHERE id = '$JOB_ID';

-- name: debug_job_in_queue
SELECT CASE WHEN EXISTS (SELECT 1 FROM job_queue WHERE job_id = '$JOB_ID')
            THEN 'SÍ - Está en job_queue'
            ELSE 'NO - No está en job_queue'
       END;

-- name: debug_job_workers_ready
SELECT COUNT(*) as workers_ready
FROM workers
WHERE state = 'READY' AND last_heartbeat > now() - interval '30 seconds';

-- name: debug_job_spec
SELECT jsonb_pretty(spec) FROM jobs WHERE id = '$JOB_ID';

-- name: debug_job_recent_workers
SELECT id, state, last_heartbeat
FROM workers
WHERE last_heartbeat > now() - interval '2 minutes'
ORDER BY last_heartbeat DESC
LIMIT 3;

-- name: status_jobs
SELECT
  SUM(CASE WHEN state = 'PENDING' THEN 1 ELSE 0 END) as PENDING,
  SUM(CASE WHEN state = 'RUNNING' THEN 1 ELSE 0 END) as RUNNING,
  SUM(CASE WHEN state = 'SUCCEEDED' THEN 1 ELSE 0 END) as SUCCEEDED,
  SUM(CASE WHEN state = 'FAILED' THEN 1 ELSE 0 END) as FAILED
FROM jobs;

-- name: status_workers
SELECT
  state,
  COUNT(*) as count
FROM workers
GROUP BY state;

-- name: status_queue
SELECT COUNT(*) as jobs_en_cola FROM job_queue;

-- name: status_providers
SELECT name, status, provider_type FROM provider_configs;

-- name: status_tokens
SELECT
  COUNT(*) as total_tokens,
  COUNT(CASE WHEN consumed_at IS NULL AND expires_at > now() THEN 1 END) as tokens_disponibles
FROM worker_bootstrap_tokens;

-- name: recent_jobs_with_queue
SELECT
    j.id,
    j.state,
    j.attempts,
    j.created_at,
    jq.enqueued_at,
    CASE
        WHEN jq.job_id IS NOT NULL THEN 'En Cola'
        ELSE 'No En Cola'
    END as queue_status
FROM jobs j
LEFT JOIN job_queue jq ON j.id = jq.job_id
ORDER BY j.created_at DESC
LIMIT 10;

-- name: workers_with_heartbeat
SELECT
    id,
    state,
    last_heartbeat,
    EXTRACT(EPOCH FROM (now() - last_heartbeat)) as seconds_ago,
    current_job_id
FROM workers
ORDER BY last_heartbeat DESC;

-- name: pending_without_queue_row
SELECT
    j.id,
    j.state,
    j.created_at,
    EXTRACT(EPOCH FROM (now() - j.created_at)) as seconds_since_creation
FROM jobs j
LEFT JOIN job_queue jq ON j.id = jq.job_id
WHERE j.state = 'PENDING'
  AND jq.job_id IS NULL
ORDER BY j.created_at ASC;

-- name: event_sequence
SELECT
    occurred_at,
    event_type,
    payload
FROM job_events
WHERE job_id = 'TU_JOB_ID_AQUI'
ORDER BY occurred_at ASC;

-- name: timeline
SELECT
    to_char(occurred_at, 'HH24:MI:SS.MS') as time,
    event_type,
    substring(aggregate_id from 1 for 8) as entity_id,
    COALESCE(actor, 'unknown') as actor,
    COALESCE(substring(correlation_id from 1 for 12), '-') as corr_id,
    left(payload::text, 60) || '...' as summary
FROM domain_events
WHERE correlation_id = '<JOB_ID>' OR aggregate_id = '<JOB_ID>'
ORDER BY occurred_at ASC;

-- name: events_by_correlation
SELECT
    to_char(occurred_at, 'HH24:MI:SS') as time,
    event_type,
    actor,
    payload->>'job_id' as job_id,
    payload->>'worker_id' as worker_id
FROM domain_events
WHERE correlation_id = '<JOB_ID>'
ORDER BY occurred_at ASC;

-- name: jobs_of_workflow
SELECT
    aggregate_id,
    event_type,
    occurred_at,
    actor
FROM domain_events
WHERE correlation_id = 'workflow-123'
ORDER BY aggregate_id, occurred_at;

-- name: events_by_actor
SELECT
    actor,
    COUNT(*) as event_count,
    MIN(occurred_at) as first_event,
    MAX(occurred_at) as last_event
FROM domain_events
WHERE occurred_at > now() - interval '1 hour'
GROUP BY actor
ORDER BY event_count DESC;

-- name: jobs_without_audit
SELECT
    j.id,
    j.state,
    j.created_at,
    CASE
        WHEN de.aggregate_id IS NULL THEN '⚠️ Sin eventos'
        ELSE '✅ Con eventos'
    END as audit_status
FROM jobs j
LEFT JOIN domain_events de ON de.aggregate_id = j.id::text
WHERE j.created_at > now() - interval '1 hour'
ORDER BY j.created_at DESC;

-- name: workflow_steps
SELECT
    aggregate_id,
    event_type,
    to_char(occurred_at, 'HH24:MI:SS') as time,
    payload->>'job_id' as job_id
FROM domain_events
WHERE correlation_id = 'workflow-2025-12-22'
ORDER BY occurred_at;

-- name: events_by_type
-- Eventos por tipo en la última hora
SELECT
    event_type,
    COUNT(*) as count,
    COUNT(DISTINCT correlation_id) as unique_workflows
FROM domain_events
WHERE occurred_at > now() - interval '1 hour'
GROUP BY event_type
ORDER BY count DESC;

-- name: busiest_actors
-- Actores más activos
SELECT
    actor,
    COUNT(*) as events,
    COUNT(DISTINCT correlation_id) as workflows
FROM domain_events
WHERE occurred_at > now() - interval '1 day'
  AND actor IS NOT NULL
GROUP BY actor
ORDER BY events DESC
LIMIT 10;

-- name: changed_without_events
-- Jobs que cambiaron de estado sin eventos intermedios
SELECT DISTINCT
    j1.id,
    j1.state as final_state,
    j1.created_at
FROM jobs j1
WHERE NOT EXISTS (
    SELECT 1 FROM domain_events de
    WHERE de.aggregate_id = j1.id::text
      AND de.event_type = 'JobStatusChanged'
)
  AND j1.state != 'PENDING';

-- name: disconnected_workers
-- Workers con eventos de desconexión
SELECT
    worker_id,
    to_char(occurred_at, 'HH24:MI:SS') as time,
    payload->>'last_heartbeat' as last_heartbeat
FROM domain_events
WHERE event_type = 'WorkerStatusChanged'
  AND payload->>'new_status' = 'Terminated'
  AND occurred_at > now() - interval '1 hour'
ORDER BY occurred_at DESC;

-- name: clean
DROP TABLE IF EXISTS job_queue CASCADE;
DROP TABLE IF EXISTS jobs CASCADE;
DROP TABLE IF EXISTS workers CASCADE;
DROP TABLE IF EXISTS worker_bootstrap_tokens CASCADE;
DROP TABLE IF EXISTS job_events CASCADE;

-- name: provider_insert
INSERT INTO provider_configs (id, name, provider_type, config, status, priority, max_workers, tags, metadata)
VALUES (
  'a1b2c3d4-e5f6-7890-abcd-ef1234567890',
  'Docker',
  'Docker',
  '{"socket_path": "/var/run/docker.sock"}',
  'ACTIVE',
  0,
  10,
  '[]'::jsonb,
  '{}'::jsonb
) ON CONFLICT (id) DO UPDATE SET
  name = EXCLUDED.name,
  config = EXCLUDED.config,
  status = EXCLUDED.status,
  updated_at = now();

-- name: token_insert
INSERT INTO worker_bootstrap_tokens (token, worker_id, expires_at)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000000', now() + interval '1 hour')
RETURNING token;

-- name: usable_tokens
SELECT token, expires_at, consumed_at
FROM worker_bootstrap_tokens
WHERE expires_at > now() AND consumed_at IS NULL;

-- name: scenario_3_started
SELECT id, state, started_at
FROM jobs
WHERE id = 'TU_JOB_ID';

-- name: scenario_4_updated
SELECT id, state, updated_at
FROM jobs
WHERE id = 'TU_JOB_ID';

-- name: just_pending
SELECT id, state, created_at FROM jobs WHERE state = 'PENDING' ORDER BY created_at DESC;

-- name: just_queue
SELECT jq.job_id, jq.enqueued_at, j.state FROM job_queue jq JOIN jobs j ON jq.job_id = j.id;

-- name: just_workers
SELECT id, state, last_heartbeat, EXTRACT(EPOCH FROM (now() - last_heartbeat)) as seconds_ago FROM workers;

-- name: just_watch_jobs
SELECT id, state, created_at FROM jobs ORDER BY created_at DESC LIMIT 5;

-- name: just_watch_queue
SELECT COUNT(*) as queued FROM job_queue;

-- name: transitions
-- Verificar que no hay transiciones inválidas
SELECT
    aggregate_id,
    event_type,
    to_char(occurred_at, 'HH24:MI:SS.MS') as time,
    actor,
    -- Extraer estados del payload
    payload->>'old_state' as old_state,
    payload->>'new_state' as new_state
FROM domain_events
WHERE event_type = 'JobStatusChanged'
  AND (aggregate_id = '<JOB_ID>' OR correlation_id = '<JOB_ID>')
ORDER BY occurred_at;

-- name: out_of_order
-- Jobs con eventos fuera de orden (ej: RUNNING antes de ASSIGNED)
WITH event_sequence AS (
    SELECT
        aggregate_id,
        event_type,
        occurred_at,
        ROW_NUMBER() OVER (PARTITION BY aggregate_id ORDER BY occurred_at) as event_order
    FROM domain_events
    WHERE aggregate_id = '<JOB_ID>'
)
SELECT
    es1.aggregate_id,
    es1.event_type as event_1,
    es2.event_type as event_2,
    es1.occurred_at as time_1,
    es2.occurred_at as time_2
FROM event_sequence es1
JOIN event_sequence es2 ON es1.aggregate_id = es2.aggregate_id
WHERE es1.event_order + 1 = es2.event_order
  AND es1.event_type = 'JobStatusChanged'
  AND es2.event_type = 'JobAssigned';

-- name: events_of_correlation_by_type
SELECT event_type, COUNT(*)
FROM domain_events
WHERE correlation_id = '$JOB_ID'
GROUP BY event_type;

-- name: assigned_lately
-- Ver si JobAssigned llega al worker
SELECT
    to_char(occurred_at, 'HH24:MI:SS.MS') as time,
    event_type,
    payload->>'worker_id' as worker_id,
    payload->>'job_id' as job_id
FROM domain_events
WHERE event_type = 'JobAssigned'
  AND occurred_at > now() - interval '10 minutes'
ORDER BY occurred_at DESC;

-- name: acknowledged_lately
-- Verificar si worker envió acknowledgment
SELECT
    to_char(occurred_at, 'HH24:MI:SS.MS') as time,
    event_type,
    payload->>'job_id' as job_id,
    payload->>'success' as success
FROM domain_events
WHERE event_type = 'JobStatusChanged'
  AND payload->>'new_state' = 'RUNNING'
  AND occurred_at > now() - interval '10 minutes'
ORDER BY occurred_at DESC;

-- name: correlated_jobs
SELECT
    aggregate_id,
    event_type,
    to_char(occurred_at, 'HH24:MI:SS') as time,
    payload->>'job_id' as job_id,
    actor
FROM domain_events
WHERE correlation_id = 'pipeline-123'
ORDER BY occurred_at;

-- name: health_exists
SELECT COUNT(*) FROM jobs WHERE id = '$JOB_ID';

-- name: health_state
SELECT state FROM jobs WHERE id = '$JOB_ID';

-- name: health_event_count
SELECT COUNT(*) FROM domain_events WHERE aggregate_id = '$JOB_ID' OR correlation_id = '$JOB_ID';

-- name: health_timeline
SELECT
    to_char(occurred_at, 'HH24:MI:SS.MS') as time,
    event_type,
    COALESCE(actor, 'unknown') as actor
FROM domain_events
WHERE aggregate_id = '$JOB_ID' OR correlation_id = '$JOB_ID'
ORDER BY occurred_at;

-- name: success_rate
-- Tasa de éxito de jobs por correlation_id
SELECT
    correlation_id,
    COUNT(DISTINCT aggregate_id) as total_jobs,
    SUM(CASE WHEN final_state = 'SUCCEEDED' THEN 1 ELSE 0 END) as succeeded,
    ROUND(
        100.0 * SUM(CASE WHEN final_state = 'SUCCEEDED' THEN 1 ELSE 0 END) / COUNT(DISTINCT aggregate_id),
        2
    ) as success_rate
FROM (
    SELECT
        correlation_id,
        aggregate_id,
        MAX(CASE WHEN event_type = 'JobStatusChanged' THEN
            CASE payload->>'new_state'
                WHEN 'SUCCEEDED' THEN 'SUCCEEDED'
                WHEN 'FAILED' THEN 'FAILED'
                WHEN 'CANCELLED' THEN 'CANCELLED'
                ELSE 'OTHER'
            END
        END) as final_state
    FROM domain_events
    WHERE correlation_id IS NOT NULL
      AND occurred_at > now() - interval '1 day'
    GROUP BY correlation_id, aggregate_id
) t
GROUP BY correlation_id
HAVING COUNT(DISTINCT aggregate_id) > 1
ORDER BY success_rate DESC;
