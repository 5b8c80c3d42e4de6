# Órdenes de guardia: `just --list`.

# Debug jobs
debug-jobs:
    @echo "=== JOBS EN ESTADO PENDING ==="
    docker exec hodei-jobs-postgres psql -U postgres -c "SELECT id, state, created_at FROM jobs WHERE state = 'PENDING' ORDER BY created_at DESC;"

debug-queue:
    @echo "=== JOBS EN COLA ==="
    docker exec hodei-jobs-postgres psql -U postgres -c "SELECT jq.job_id, jq.enqueued_at, j.state FROM job_queue jq JOIN jobs j ON jq.job_id = j.id;"

debug-workers:
    @echo "=== WORKERS ==="
    docker exec hodei-jobs-postgres psql -U postgres -c "SELECT id, state, last_heartbeat, EXTRACT(EPOCH FROM (now() - last_heartbeat)) as seconds_ago FROM workers;"

debug-system:
    @./scripts/system-status.sh

# Con el id, o lo pregunta
debug-job JOB_ID="":
    @id="{{ JOB_ID }}"; [ -n "$id" ] || { printf 'Job ID: '; read -r id; }; ./scripts/debug-job.sh "$id"

debug-job-timeline JOB_ID:
    @./scripts/debug-job-timeline.sh "{{ JOB_ID }}"

check-job-health JOB_ID:
    @./scripts/check-job-health.sh "{{ JOB_ID }}"

# Limpieza
clean-all:
    @./scripts/clean-system.sh

restart-all:
    @./scripts/restart-system.sh

# Monitoreo
watch-jobs:
    @watch -n 1 "docker exec hodei-jobs-postgres psql -U postgres -c 'SELECT id, state, created_at FROM jobs ORDER BY created_at DESC LIMIT 5;'"

watch-workers:
    @watch -n 1 "docker exec hodei-jobs-postgres psql -U postgres -c 'SELECT id, state, last_heartbeat FROM workers;'"

watch-queue:
    @watch -n 1 "docker exec hodei-jobs-postgres psql -U postgres -c 'SELECT COUNT(*) as queued FROM job_queue;'"

# Logs
logs-server:
    @tail -f /tmp/server.log | grep -E "JobDispatcher|JobController|JobCreated|RUN_JOB"

logs-worker:
    @tail -f /tmp/worker.log | grep -E "Received job|Executing|LogBatch"
