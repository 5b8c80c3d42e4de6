#!/bin/bash
# La historia completa de un job, evento por evento.

if [ -z "$1" ]; then
    echo "Uso: $0 <JOB_ID>"
    exit 1
fi

JOB_ID=$1

echo "🔍 Fetching timeline for Job ID: $JOB_ID"
echo "────────────────────────────────────────"
# psql entrecomilla el argumento: nada de él llega a ser SQL.
docker exec -i hodei-jobs-postgres psql -U postgres -v job_id="$JOB_ID" <<'SQL'
SELECT
    to_char(occurred_at, 'HH24:MI:SS.MS') as time,
    event_type,
    substring(aggregate_id from 1 for 8) as entity_id,
    COALESCE(actor, 'unknown') as actor,
    COALESCE(substring(correlation_id from 1 for 12), '-') as corr_id,
    left(payload::text, 60) || '...' as summary
FROM domain_events
WHERE correlation_id = :'job_id' OR aggregate_id = :'job_id'
ORDER BY occurred_at ASC;
SQL
