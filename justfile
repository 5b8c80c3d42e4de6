# Órdenes de guardia: `just --list`.

# Debug jobs

# Jobs en PENDING
debug-jobs:
    @echo "=== JOBS EN ESTADO PENDING ==="
    docker exec hodei-jobs-postgres psql -U postgres -c "SELECT id, state, created_at FROM jobs WHERE state = 'PENDING' ORDER BY created_at DESC;"

# Jobs en la cola
debug-queue:
    @echo "=== JOBS EN COLA ==="
    docker exec hodei-jobs-postgres psql -U postgres -c "SELECT jq.job_id, jq.enqueued_at, j.state FROM job_queue jq JOIN jobs j ON jq.job_id = j.id;"

# Workers y la edad de su último heartbeat
debug-workers:
    @echo "=== WORKERS ==="
    docker exec hodei-jobs-postgres psql -U postgres -c "SELECT id, state, last_heartbeat, EXTRACT(EPOCH FROM (now() - last_heartbeat)) as seconds_ago FROM workers;"

# Estado de todo el sistema
debug-system:
    @./scripts/system-status.sh

# Un job: con el id, o lo pregunta
debug-job JOB_ID="":
    @id="{{ JOB_ID }}"; [ -n "$id" ] || { printf 'Job ID: '; read -r id; }; ./scripts/debug-job.sh "$id"

# Los eventos de un job
debug-job-timeline JOB_ID:
    @./scripts/debug-job-timeline.sh "{{ JOB_ID }}"

# Si un job existe, su estado y sus eventos
check-job-health JOB_ID:
    @./scripts/check-job-health.sh "{{ JOB_ID }}"

# Limpieza

# ¡DESTRUCTIVO! Para el servidor y el worker, y BORRA todos los jobs, workers y tokens; la auditoría queda
clean-all:
    @./scripts/clean-system.sh

# ¡DESTRUCTIVO! BORRA lo mismo que clean-all, y arranca PostgreSQL, un servidor y un worker nuevos
restart-all:
    @./scripts/restart-system.sh

# Monitoreo

# Los 5 jobs más recientes, cada segundo
watch-jobs:
    @watch -n 1 "docker exec hodei-jobs-postgres psql -U postgres -c 'SELECT id, state, created_at FROM jobs ORDER BY created_at DESC LIMIT 5;'"

# Los workers, cada segundo
watch-workers:
    @watch -n 1 "docker exec hodei-jobs-postgres psql -U postgres -c 'SELECT id, state, last_heartbeat FROM workers;'"

# Cuántos jobs hay en cola, cada segundo
watch-queue:
    @watch -n 1 "docker exec hodei-jobs-postgres psql -U postgres -c 'SELECT COUNT(*) as queued FROM job_queue;'"

# Logs

# El log del servidor, filtrado
logs-server:
    @tail -f /tmp/server.log | grep -E "JobDispatcher|JobController|JobCreated|RUN_JOB"

# El log del worker, filtrado
logs-worker:
    @tail -f /tmp/worker.log | grep -E "Received job|Executing|LogBatch"
