#!/bin/bash
# Para los procesos de esta instalación y borra jobs, workers y tokens. La auditoría (domain_events) y los providers quedan.

RUN_DIR=${HODEI_RUN_DIR:-/tmp}

echo "🧹 Limpiando sistema Hodei..."

# Termina el proceso de un fichero de pid, si todavía es un proceso nuestro.
parar() {
    local fichero="$RUN_DIR/$1.pid" pid
    [ -f "$fichero" ] || return 0
    pid=$(cat "$fichero")
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "hodei"; then
        kill "$pid"
        for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null
    fi
    rm -f "$fichero"
}

# 1. Matar todos los workers
echo "  - Matando workers..."
parar hodei-worker

# 2. Matar servidor
echo "  - Matando servidor..."
parar hodei-server

# 3. Limpiar contenedores Docker antiguos
echo "  - Limpiando contenedores Docker..."
docker ps -a | grep hodei-worker | awk '{print $1}' | xargs -r docker rm -f

# 4. Limpiar base de datos
echo "  - Limpiando base de datos..."
if docker ps | grep -q hodei-jobs-postgres; then
    docker exec hodei-jobs-postgres psql -q -U postgres -c "
DROP TABLE IF EXISTS job_queue CASCADE;
DROP TABLE IF EXISTS jobs CASCADE;
DROP TABLE IF EXISTS workers CASCADE;
DROP TABLE IF EXISTS worker_bootstrap_tokens CASCADE;
DROP TABLE IF EXISTS job_events CASCADE;
" || { echo "❌ La base de datos no se ha limpiado"; exit 1; }
else
    echo "    PostgreSQL no está corriendo: nada que limpiar"
fi

echo "✅ Sistema limpiado"
